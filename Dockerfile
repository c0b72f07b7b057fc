# The demo with nano, for places other than the Hub. It installs what `make demo` does.
#
#   docker build -t paligemma2 .
#   docker build -t paligemma2 --build-arg PIP_ARGS="…" .  # such as an index of torch for CPUs
FROM python:3.12-slim-bookworm

# Extra words for pip where it fetches torch, as for `make`.
ARG PIP_ARGS=""

# Models that visitors choose are kept in a folder of the user's, which may be a volume.
RUN useradd --uid 1000 --create-home demo \
 && install --directory --owner=demo --group=demo /home/demo/.cache/huggingface

WORKDIR /app

# torch first, as the rest changes more often. Its plain wheel brings CUDA's libraries with it.
COPY requirements.txt .
# hadolint ignore=SC2086
RUN grep "^torch" requirements.txt > torch.txt \
 && pip install --no-cache-dir $PIP_ARGS -r torch.txt \
 && rm torch.txt
RUN pip install --no-cache-dir -r requirements.txt

COPY checkpoints checkpoints
COPY examples examples
COPY docs/page.png docs/page.png
COPY LICENSE app.py ./
COPY api api
COPY data data
COPY models models
COPY ui ui

# A number, so that a cluster can see that it is not root.
USER 1000:1000
ENV HOME=/home/demo \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PYTHONUNBUFFERED=1
EXPOSE 7860
VOLUME /home/demo/.cache/huggingface

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/healthz', timeout=4)"]

# Python ends in order on this one also as the first process.
STOPSIGNAL SIGINT
CMD ["python", "app.py"]

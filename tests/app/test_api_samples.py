"""What the "Use via API" view prints runs as it stands, and what /info promises is accepted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from jsonschema import Draft202012Validator

from ui.api_samples import OF_ENDPOINTS, samples


def printed(url: str, endpoint: str = "answer") -> dict[str, str]:
    """The samples of an endpoint by language, as the view gets them."""
    described = httpx.get(f"{url}/gradio_api/info").json()["named_endpoints"]
    return described[f"/{endpoint}"]["code_snippets"]


def output_of(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def caption(served) -> str:
    """What is answered to the samples' picture."""
    example = handle_file(f"{Path(__file__).parents[2]}/examples/caption.png")
    *_, result = Client(served.url, verbose=False).predict(image=example, api_name="/answer")
    return result["text"]


def test_the_python_sample_runs(served, page_backend, caption, tmp_path):
    said = output_of(tmp_path, sys.executable, "-c", printed(served.url)["python"])
    assert said.splitlines()[-1] == caption


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_curl_sample_runs(served, page_backend, caption, tmp_path, shell):
    said = output_of(tmp_path, shell, "-c", printed(served.url)["bash"])
    name, data = said.strip().splitlines()[-2:]
    assert name == "event: complete"
    assert json.loads(data.removeprefix("data: "))[-1]["text"] == caption


def test_the_sample_for_gradios_command_runs(served, page_backend, caption, tmp_path):
    command = printed(served.url)["cli"].replace("{command}", "gradio")
    assert json.dumps(caption) in output_of(tmp_path, "sh", "-c", command)


def test_the_samples_of_the_short_endpoints_run(served, page_backend, tmp_path):
    short = [each for each in OF_ENDPOINTS if each != "answer"]
    client = Client(served.url, verbose=False)
    written = {each: printed(served.url, each) for each in short}
    shown = []
    for endpoint in short:
        sample = OF_ENDPOINTS[endpoint]
        picture = handle_file(str(sample.file))
        result = client.predict(image=picture, **sample.asked, api_name=f"/{endpoint}")
        assert result[sample.shown]
        shown.append(str(result[sample.shown]))
        said = output_of(tmp_path, "sh", "-c", written[endpoint]["bash"])
        data = json.loads(said.strip().splitlines()[-1].removeprefix("data: "))
        assert data[-1]["text"] == result["text"]
    # One after the other in one process, which takes seconds to start.
    programs = "\n".join(written[each]["python"] for each in short)
    said = output_of(tmp_path, sys.executable, "-c", programs).splitlines()
    assert [line for line in said if not line.startswith("Loaded as API")] == shown


@pytest.mark.parametrize("language", ["python", "bash", "cli"])
def test_samples_with_settings_run(served, page_backend, tmp_path, language):
    asked = {"task": "detect", "objects": 'cat ; `it\'s` $HOME "ü"', "temperature": 0.5, "seed": 7}
    sample = samples(served.url, asked=asked, further=2)[language].replace("{command}", "gradio")
    shell = (sys.executable, "-c") if language == "python" else ("sh", "-c")
    output_of(tmp_path, *shell, sample)
    request = page_backend.requests[-1]
    assert request.prompt == 'detect cat ; `it\'s` $home "ü"'
    assert (request.decoding.temperature, request.decoding.seed) == (0.5, 7)
    assert len(request.images) == 3


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
@pytest.mark.parametrize("endpoint", ["answer", "detect"])
def test_the_javascript_sample_parses(served, tmp_path, endpoint):
    (tmp_path / "sample.mjs").write_text(printed(served.url, endpoint)["javascript"], "utf-8")
    output_of(tmp_path, "node", "--check", "sample.mjs")


def test_no_sample_names_another_site(served):
    for sample in printed(served.url).values():
        found = re.findall(r"https?://[^/\s\"')]+", sample)
        assert found and set(found) == {served.url}


def test_on_a_space_the_samples_name_it():
    for language, sample in samples("https://me-demo.hf.space", "me/demo").items():
        assert ("me/demo" in sample) == (language != "bash")


def test_the_example_values_of_the_description_are_answered(served, page_backend):
    described = httpx.get(f"{served.url}/gradio_api/info").json()["named_endpoints"]["/answer"]
    image, *_ = described["parameters"]
    assert set(image["type"]["properties"]) == {"path", "meta"}, "no address, no base64"
    values = {"image": image["example_input"]}
    sent = httpx.post(f"{served.url}/gradio_api/call/v2/answer", json=values)
    address = f"{served.url}/gradio_api/call/answer/{sent.json()['event_id']}"
    assert "event: complete" in httpx.get(address, timeout=60).text


def test_the_python_client_reads_the_description(served):
    (image, *_) = Client(served.url, verbose=False).view_api(return_format="dict")[
        "named_endpoints"
    ]["/answer"]["parameters"]
    assert (image["parameter_name"], image["python_type"]["type"]) == ("image", "filepath")


def test_the_openapi_document_says_what_is_taken_and_refused(served, page_backend):
    described = httpx.get(f"{served.url}/gradio_api/openapi.json").json()["paths"]
    for name in OF_ENDPOINTS:
        call = described[f"/gradio_api/call/v2/{name}"]["post"]
        taken = call["requestBody"]["content"]["application/json"]
        assert {"200", "422", "503"} <= set(call["responses"])
        Draft202012Validator.check_schema(taken["schema"])
        is_taken = Draft202012Validator(taken["schema"]).is_valid
        assert is_taken(taken["example"])
        address = f"{served.url}/gradio_api/call/v2/{name}"
        for missing in taken["example"]:
            less = {each: value for each, value in taken["example"].items() if each != missing}
            assert not is_taken(less)
            assert httpx.post(address, json=less).status_code == 422
        assert not is_taken(taken["example"] | {"nothing": 1})
    sent = httpx.post(address, json=taken["example"])
    answer = f"{served.url}/gradio_api/call/{name}/{sent.json()['event_id']}"
    assert "event: complete" in httpx.get(answer, timeout=60).text
    assert "404" in described[f"/gradio_api/call/{name}/{{event_id}}"]["get"]["responses"]

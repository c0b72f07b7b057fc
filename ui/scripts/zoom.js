() => {
  // A closer look at a picture: zoom by buttons, keys, pinch, Ctrl and the wheel; pan by dragging, a
  // finger or arrows, which is the browser's own scrolling. The picture is laid out larger, so that
  // lines and labels of boxes stay as thin as they are.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  const MOST = 8, STEP = 1.5, NEAR = 2.5; // NEAR is where a double click goes
  const zoomOf = (view) => Number(view.style.getPropertyValue("--zoom")) || 1;
  // Sides of a comparison show one picture: what one does, all do.
  const alike = (view) => [...(view.closest("#compare-answers")?.querySelectorAll(".view") ?? [view])];
  const viewOf = (node) =>
    node.closest?.(".view") ?? (node.closest?.("figure.found, dialog.large") ?? null)?.querySelector(".view");

  const apply = (view, zoom) => {
    view.style.setProperty("--zoom", zoom);
    view.classList.toggle("zoomed", zoom > 1);
    if (zoom === 1) view.scrollTo(0, 0);
    const reset = view.parentElement.querySelector("[data-zoom=reset]");
    if (reset) reset.textContent = `${Math.round(zoom * 100)} %`;
  };
  // What is at `point`, the middle where none is given, stays there.
  const zoomTo = (view, wanted, point) => {
    const zoom = Math.abs(wanted - 1) < 0.02 ? 1 : Math.min(Math.max(wanted, 1), MOST);
    const { left, top, width, height } = view.getBoundingClientRect();
    const [x, y] = point ?? [left + width / 2, top + height / 2];
    const stage = view.querySelector(".stage");
    const before = stage.getBoundingClientRect();
    const [across, down] = [(x - before.left) / before.width, (y - before.top) / before.height];
    for (const each of alike(view)) apply(each, zoom);
    const now = stage.getBoundingClientRect();
    view.scrollLeft += now.left + across * now.width - x;
    view.scrollTop += now.top + down * now.height - y;
  };

  const prepare = (view) => {
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !view.closest("dialog")) return; // the page scrolls
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 20 : 1; // a trackpad's pinch comes in small steps
      const rate = event.ctrlKey && Math.abs(event.deltaY) < 30 && lines === 1 ? 0.01 : 0.002;
      zoomTo(view, zoomOf(view) * Math.exp(-event.deltaY * lines * rate), [event.clientX, event.clientY]);
    }, { passive: false });

    let pinch = null;
    const fingers = ({ touches: [one, other] }) => ({
      apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
      at: [(one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2],
    });
    view.addEventListener("touchstart", (event) => {
      if (event.touches.length !== 2) return;
      event.preventDefault();
      pinch = { ...fingers(event), zoom: zoomOf(view) };
    }, { passive: false });
    view.addEventListener("touchmove", (event) => {
      if (!pinch || event.touches.length !== 2) return;
      if (event.cancelable) event.preventDefault();
      const { apart, at } = fingers(event);
      view.scrollBy(pinch.at[0] - at[0], pinch.at[1] - at[1]);
      pinch.at = at;
      zoomTo(view, (pinch.zoom * apart) / pinch.apart, at);
    }, { passive: false });
    for (const type of ["touchend", "touchcancel"])
      view.addEventListener(type, (event) => event.touches.length < 2 && (pinch = null));

    let drag = null;
    view.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0 || zoomOf(view) === 1) return;
      if (event.target === view) return; // its scroll bars
      drag = [event.clientX, event.clientY];
      view.setPointerCapture(event.pointerId);
    });
    view.addEventListener("pointermove", (event) => {
      if (!drag) return;
      view.scrollBy(drag[0] - event.clientX, drag[1] - event.clientY);
      drag = [event.clientX, event.clientY];
    });
    for (const type of ["pointerup", "pointercancel"]) view.addEventListener(type, () => (drag = null));
    view.addEventListener("dragstart", (event) => event.preventDefault());
    view.addEventListener("scroll", () => {
      for (const each of alike(view))
        if (each !== view) each.scrollTo(view.scrollLeft, view.scrollTop);
    });
  };
  const prepared = new WeakSet();
  const follow = () => {
    for (const view of document.querySelectorAll(".view"))
      if (!prepared.has(view)) {
        prepared.add(view);
        prepare(view);
      }
  };
  new MutationObserver(follow).observe(document.body, { subtree: true, childList: true });

  const CHANGES = { in: (zoom) => zoom * STEP, out: (zoom) => zoom / STEP, reset: () => 1 };
  const KEYS = { "+": "in", "=": "in", "-": "out", "−": "out", "_": "out", 0: "reset" };
  document.addEventListener("keydown", (event) => {
    const change = KEYS[event.key], view = viewOf(event.target);
    if (!change || !view || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    zoomTo(view, CHANGES[change](zoomOf(view)));
  });
  document.addEventListener("dblclick", (event) => {
    const view = event.target.closest?.(".view");
    if (view) zoomTo(view, zoomOf(view) > 1 ? 1 : NEAR, [event.clientX, event.clientY]);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-zoom]"), view = button && viewOf(button);
    if (view) zoomTo(view, CHANGES[button.dataset.zoom](zoomOf(view)));
    // The box of a row that is pressed comes into sight.
    const row = event.target.closest?.("#boxes tr[data-object]"), large = find("#annotated .view.zoomed");
    const box = row && large?.querySelector(`.box[data-object="${row.dataset.object}"]`);
    if (!box) return;
    const [inner, outer] = [box, large].map((each) => each.getBoundingClientRect());
    large.scrollBy(
      inner.left + inner.width / 2 - outer.left - outer.width / 2,
      inner.top + inner.height / 2 - outer.top - outer.height / 2,
    );
  });

  // The whole screen: Escape and the rest are the dialog's own.
  const enlarge = async (view, tools, name) => {
    const dialog = document.createElement("dialog"), close = document.createElement("button");
    dialog.className = "large";
    dialog.ariaLabel = name;
    close.type = "button";
    close.className = "close";
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    dialog.append(view, tools, close);
    apply(view, 1);
    dialog.addEventListener("close", () => dialog.remove());
    await page.findShownPart?.(); // inside another page
    find(".gradio-container").append(dialog);
    dialog.showModal();
  };
  const TOOLS = `<button type="button" data-zoom="out" aria-label="Zoom out" title="Zoom out">−</button>
    <button type="button" data-zoom="reset" title="Show all of it">100 %</button>
    <button type="button" data-zoom="in" aria-label="Zoom in" title="Zoom in">+</button>`;
  const given = (picture) => {
    const view = document.createElement("div"), tools = document.createElement("div");
    const stage = document.createElement("div"), image = document.createElement("img");
    Object.assign(view, { className: "view", tabIndex: 0, role: "group" });
    view.ariaLabel = "The picture. Plus and minus zoom, 0 shows all of it.";
    view.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
    stage.className = "stage";
    Object.assign(image, { className: "base-image", src: picture.src, alt: "The picture" });
    stage.append(image);
    view.append(stage);
    tools.className = "tools";
    tools.innerHTML = TOOLS;
    enlarge(view, tools, "The picture");
  };
  document.addEventListener("click", (event) => {
    const found = event.target.closest?.("#annotated .enlarge") && find("#annotated figure");
    if (found) {
      const [view, tools] = [".view", ".tools"].map((name) => found.querySelector(name).cloneNode(true));
      enlarge(view, tools, "The picture with what was found");
      return;
    }
    const button = event.target.closest?.(":is(#picture, #compare-picture) button[aria-label=Fullscreen]");
    const picture = button?.closest(".block").querySelector(".image-frame img");
    if (!picture?.naturalWidth) return;
    event.stopPropagation(); // Gradio's own has no zoom
    given(picture);
  }, true);
  follow();
}

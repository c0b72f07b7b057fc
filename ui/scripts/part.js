() => {
  // A box on the picture, drawn with the mouse or a finger: it fills the four fields, and what is
  // typed there moves it. And the way back from a part of the picture to the whole.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  const SMALLEST = 1; // percent; less is a click
  const layer = document.createElement("div"), box = document.createElement("div");
  layer.className = "draw-layer";
  layer.ariaHidden = "true"; // the fields say the same
  box.className = "drawn";
  layer.append(box);

  const fields = () =>
    [...document.querySelectorAll("#box input[type=number]")].filter((each) => each.offsetParent);
  const inside = (value) => Math.min(Math.max(value, 0), 100);
  const put = (edges) => {
    const [left, top, right, bottom] = edges.map(inside);
    const is = left < right && top < bottom;
    box.hidden = !is;
    if (!is) return;
    Object.assign(box.style, {
      left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%`,
    });
  };
  let start = null;
  const place = () => {
    const picture = find("#picture"), image = find("#picture .image-frame img");
    const edges = fields();
    const is = edges.length === 4 && image?.naturalWidth > 0;
    find("#ask-panel")?.classList.toggle("marks", is);
    if (layer.hidden !== !is) layer.hidden = !is;
    if (!is || start) return;
    if (layer.parentElement !== picture) picture.append(layer);
    const outer = picture.getBoundingClientRect(), inner = image.getBoundingClientRect();
    const scale = Math.min(inner.width / image.naturalWidth, inner.height / image.naturalHeight, 1);
    const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
    Object.assign(layer.style, {
      left: `${inner.left - outer.left - picture.clientLeft + (inner.width - width) / 2}px`,
      top: `${inner.top - outer.top - picture.clientTop + (inner.height - height) / 2}px`,
      width: `${width}px`, height: `${height}px`,
    });
    put(edges.map((each) => Number(each.value)));
  };
  page.placeBox = place;

  const pointOf = (event) => {
    const { left, top, width, height } = layer.getBoundingClientRect();
    const percent = (value) => Math.round(inside(value * 100) * 10) / 10;
    return [percent((event.clientX - left) / width), percent((event.clientY - top) / height)];
  };
  const between = ([x, y]) => [
    Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y),
  ];
  layer.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    layer.setPointerCapture(event.pointerId);
    start = pointOf(event);
  });
  layer.addEventListener("pointermove", (event) => start && put(between(pointOf(event))));
  const end = (event) => {
    if (!start) return;
    const drawn = between(pointOf(event));
    start = null;
    if (event.type === "pointerup" && drawn[2] - drawn[0] >= SMALLEST && drawn[3] - drawn[1] >= SMALLEST)
      fields().forEach((field, index) => {
        field.value = drawn[index];
        field.dispatchEvent(new Event("input", { bubbles: true }));
      });
    place();
  };
  for (const type of ["pointerup", "pointercancel"]) layer.addEventListener(type, end);

  let waiting = false;
  const soon = () => {
    if (!waiting) requestAnimationFrame(() => ((waiting = false), place()));
    waiting = true;
  };
  new MutationObserver(soon).observe(find("#ask-panel") ?? document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["class", "src"],
  });
  for (const type of ["load", "input"]) document.addEventListener(type, soon, true);
  addEventListener("resize", soon);

  // -- the whole picture, while a part of it is asked about
  let whole = null, part = null;
  page.keepWhole = (values) => {
    if (values[0]?.path !== part) whole = values[0];
    return values;
  };
  page.showPart = ([image]) => {
    if (image && image.path !== whole?.path) part = image.path;
    page.followPicture(image);
    page.keepPicture(image);
    return [];
  };
  // What a picture was cut from, where it is a part; and both again, after the page was loaded again.
  page.wholeOf = (image) => (part && image?.path === part ? whole : null);
  page.restorePart = (image, from) => {
    [part, whole] = [image.path, from];
  };
  page.followPicture = (image) => {
    const is = Boolean(part) && image?.path === part;
    find("#ask-panel")?.classList.toggle("is-part", is);
  };
  page.wholePicture = () => [whole];
}

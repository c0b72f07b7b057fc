() => {
  // The page inside another one, as `/?embed=1`: styles hide what is around the task and its answer,
  // and the page that frames it is told how high this one is, and what was answered where the owner
  // named its origin. Each message has that one origin as its target, and reaches no other.
  const page = (window.paligemma ??= {});
  const { origins } = EMBEDDING;
  const isEmbedded = new URLSearchParams(location.search).get("embed") === "1";
  document.documentElement.classList.toggle("embedded", isEmbedded);

  const originAround = () => {
    if (window.parent === window) return null;
    const known = location.ancestorOrigins?.[0]; // not in all browsers
    if (known && known !== "null") return known;
    return document.referrer ? new URL(document.referrer).origin : null;
  };
  const around = isEmbedded ? originAround() : null;
  const tell = (message) => around && window.parent.postMessage(message, around);

  page.tellResult = ([details]) => {
    if (!origins.includes(around) || !details?.finish_reason) return [];
    // The page's own objects are proxies, which cannot be sent.
    tell({ paligemma: "result", result: JSON.parse(JSON.stringify(details)) });
    return [];
  };

  if (!around) return;
  // This page is as high as its frame: only the one around it can bring a part into view.
  page.showInPageAround = (top) => {
    tell({ paligemma: "show", top });
    return true;
  };
  // Which part of the frame is on the screen, for what is to cover the screen (zoom.css).
  page.findShownPart = () =>
    new Promise((found) => {
      const observer = new IntersectionObserver(([{ intersectionRect: shown }]) => {
        observer.disconnect();
        const { style } = document.documentElement;
        style.setProperty("--shown-top", `${shown.top}px`);
        style.setProperty("--shown-height", `${shown.height}px`);
        found();
      });
      observer.observe(document.body);
    });
  let told = 0;
  const measure = () => {
    if (!window.innerWidth) return; // the frame is hidden
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    if (height === told || !height) return;
    told = height;
    tell({ paligemma: "height", height });
  };
  new ResizeObserver(measure).observe(document.body);
}

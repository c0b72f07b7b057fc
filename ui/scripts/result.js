() => {
  // The answer's side of the page: it comes into view, is announced once when it is whole, is dimmed
  // when something else is asked, and its table points at its boxes.
  const find = (selector) => document.querySelector(selector);
  const page = (window.paligemma ??= {});

  // One region that stays, as screen readers overlook what comes with its region.
  const speaker = document.createElement("div");
  speaker.className = "only-read";
  speaker.setAttribute("role", "status");
  document.body.append(speaker);
  const say = (text) => {
    if (text && speaker.textContent !== text) speaker.textContent = text;
  };

  const answer = () => find("#answer textarea")?.value ?? "";
  const isRunning = () => Boolean(find("#run")?.disabled);
  let wasRunning = false;
  const announce = () => {
    const status = find("#status")?.innerText.trim() ?? "";
    const running = isRunning();
    const ended = wasRunning && !running;
    wasRunning = running;
    if (ended) say([status, answer()].filter(Boolean).join(" "));
    else if (!answer()) say(status);
    compare();
    endOutdated();
  };

  // What was asked, as text to compare: the picture's path, and of the fields those of the task.
  let asked = null, current = null;
  // The indices of the fields that only other tasks need.
  page.unusedBy = (task, needed) => {
    const unused = new Set(Object.values(needed).flat());
    for (const index of needed[task] ?? []) unused.delete(index);
    return unused;
  };
  const keyOf = (values, needed) => {
    const [image, task] = values;
    const unused = page.unusedBy(task, needed);
    const used = values.map((value, index) => (unused.has(index) ? null : value));
    used[0] = image?.path ?? image?.url ?? null;
    used.push((used.pop() ?? []).map(({ path }) => path)); // the further pictures
    return JSON.stringify(used.map((value) => (value === undefined ? null : value)));
  };
  const differs = () => asked !== null && current !== asked;
  // An error leaves no answer that could belong to something else.
  const compare = () =>
    find("#answer-panel")?.classList.toggle("stale", differs() && answer() !== "");
  page.markAsked = (values, needed) => {
    asked = current = keyOf(values, needed);
    compare();
    wantPicture(!values[0]);
    page.showUse?.(values[1]);
    makeRoom(values[0] && FINDS.includes(values[1]), shownPicture(values[0]));
    if (values[0]) show();
  };
  page.markChanged = (values, needed) => {
    current = keyOf(values, needed);
    compare();
    if (values[0]) wantPicture(false);
    page.followPicture?.(values[0]);
    page.placeBox?.();
    // It was about what was asked, such as a field that was empty.
    const error = find("#status .notice-error");
    if (error) error.hidden = differs();
  };

  // Where boxes are asked for, the picture stands where they will be drawn, and what was found before
  // goes at once, so that nothing below moves when the answer comes.
  const FINDS = ["detect", "segment"];
  const shownPicture = (image) => {
    const picture = find("#picture img");
    return image?.url && picture?.src === new URL(image.url, location.href).href ? picture : null;
  };
  let outdated = null;
  const makeRoom = (finds, picture) => {
    const panel = find("#answer-panel"), room = find("#room img");
    if (!panel || !room) return;
    outdated = find("#annotated figure");
    panel.classList.toggle("renewed", outdated !== null);
    panel.classList.toggle("finds", Boolean(finds));
    if (!finds || !picture) return;
    room.src = picture.src;
    // Of a card whose picture is still on its way it is not known; most are square.
    const ratio = picture.naturalWidth ? picture.naturalWidth / picture.naturalHeight : 1;
    room.parentElement.style.setProperty("--ratio", ratio.toFixed(4));
  };
  const endOutdated = () => {
    if (find("#annotated figure") !== outdated) page.answered();
  };
  // The whole answer stands there. Where it is the same as before, nothing is drawn anew.
  page.answered = () => find("#answer-panel")?.classList.remove("renewed");
  // An example's answer is asked for once it has filled the page; its card knows its picture now.
  document.addEventListener("click", (event) => {
    const card = event.target.closest?.("#examples button");
    if (card) makeRoom(card.classList.contains("finds"), card.querySelector("img"));
  });

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const behavior = () => (calm() ? "auto" : "smooth");

  // Without a picture there is no answer to go to, but a field to fill.
  const wantPicture = (wanted) => {
    const field = find("#picture");
    if (!field) return;
    field.toggleAttribute("data-wanted", wanted);
    if (!wanted) return;
    field.scrollIntoView({ behavior: behavior(), block: "nearest" });
    field.querySelector("button.upload-container, button")?.focus({ preventScroll: true });
  };

  // From below the examples or the settings, the answer is off the screen.
  const show = () => {
    const panel = find("#answer-panel");
    if (!panel) return;
    const { top } = panel.getBoundingClientRect();
    if (page.showInPageAround?.(top)) return;
    if (top >= 0 && top < window.innerHeight / 2) return;
    panel.scrollIntoView({ behavior: behavior(), block: "start" });
  };

  // A row of the table and its box light each other.
  const objectOf = (event) =>
    event.target.closest?.("#annotated [data-object], #boxes [data-object], dialog [data-object]");
  const light = (event) => {
    const index = objectOf(event)?.dataset.object;
    for (const each of document.querySelectorAll(
      "#annotated [data-object], #boxes [data-object], dialog.large [data-object]",
    )) {
      each.classList.toggle("lit", each.dataset.object === index);
      each.classList.toggle("unlit", index !== undefined && each.dataset.object !== index);
    }
  };
  for (const type of ["mouseover", "focusin", "click"]) document.addEventListener(type, light);

  new MutationObserver(announce).observe(document.body, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["disabled"],
  });
}

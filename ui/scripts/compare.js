() => {
  // The tab Compare: it begins with what is asked on the other tab, is dimmed when something else is
  // asked, says when all sides are done, and keeps votes in this browser and nowhere else.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  const AS_IT_IS = { __type__: "update" };

  // -- what is asked
  // Opened: at first with its fields as they were before the page was loaded again, and without a
  // picture of its own with what is asked on the other tab.
  const FIELDS = "paligemma-compare"; // in the tab's own storage
  let taken = "caption en"; // the prompt that nobody typed here
  let before = JSON.parse(sessionStorage.getItem(FIELDS) ?? "null");
  page.takeFirst = ([askedImage, askedPrompt, image, ...fields]) => {
    const found = before?.length === fields.length ? before : fields.map(() => AS_IT_IS);
    const isTyped = before !== null || fields[0] !== taken;
    if (!isTyped && !image && askedImage && askedPrompt) found[0] = taken = askedPrompt;
    before = null;
    return [image || !askedImage ? AS_IT_IS : askedImage, ...found];
  };
  page.takeAsked = ([image, prompt]) => {
    find("#tabs [role=tab][data-tab-id=compare]").click();
    return [image ?? AS_IT_IS, prompt || AS_IT_IS];
  };
  let asked = null, current = null;
  // The picture's path, the prompt, and the fields of the sides that are shown.
  const keyOf = ([image, prompt, count, ...fields]) =>
    JSON.stringify([image?.path ?? null, prompt, ...fields.slice(0, 4 * count)]);
  const compare = () =>
    find("#compare-answers")?.closest(".tabitem")?.classList.toggle("stale", asked !== null && current !== asked);
  page.compareAsked = (values) => {
    asked = current = keyOf(values);
    compare();
    return [];
  };
  page.compareChanged = (values) => {
    current = keyOf(values);
    compare();
    sessionStorage.setItem(FIELDS, JSON.stringify(values.slice(1)));
    return [];
  };

  // -- saying it, in a region that stays, as screen readers overlook what comes with its region
  const speaker = document.createElement("div");
  speaker.className = "only-read";
  speaker.id = "compared";
  speaker.setAttribute("aria-live", "polite");
  document.body.append(speaker);
  let wasRunning = false;
  const announce = () => {
    const running = Boolean(find("#compare-run")?.disabled);
    if (wasRunning && !running) speaker.textContent = find("#compare-status")?.innerText.trim() ?? "";
    wasRunning = running;
  };

  // -- votes
  const VOTES = "paligemma-votes";
  const kept = () => JSON.parse(localStorage.getItem(VOTES) ?? "[]");
  const keep = (votes) => {
    localStorage.setItem(VOTES, JSON.stringify(votes));
    show();
  };
  const recordOf = (node) => JSON.parse(node.closest("[data-comparison]").dataset.comparison);
  const vote = (radio) => {
    const { id, prompt, picture, answers } = recordOf(radio);
    const { pair } = radio.closest(".vote").dataset;
    const others = kept().filter((each) => each.id !== id || each.pair !== pair);
    const [left, right] = [...pair].map((letter) => answers[letter]);
    const at = new Date().toISOString();
    keep([...others, { id, pair, vote: radio.value, at, prompt, picture, left, right }]);
  };
  const show = () => {
    const votes = kept();
    const area = find(".votes-kept");
    if (area) {
      const said = votes.length === 1 ? "1 vote is" : `${votes.length} votes are`;
      const text = `${said} kept in this browser and nowhere else.`;
      const count = area.querySelector(".votes-count");
      if (count.textContent !== text) count.textContent = text;
      area.hidden = votes.length === 0;
    }
    const section = find(".votes[data-comparison]");
    if (!section) return;
    const { id } = recordOf(section);
    for (const radio of section.querySelectorAll("input[type=radio]")) {
      const { pair } = radio.closest(".vote").dataset;
      radio.checked = votes.some((each) => each.id === id && each.pair === pair && each.vote === radio.value);
    }
  };
  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(kept(), null, 1)], { type: "application/json" }));
    link.download = "votes.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(".vote input[type=radio]")) vote(event.target);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.(".votes-download")) download();
    if (event.target.closest?.(".votes-clear")) {
      keep([]);
      find("#compare-run")?.focus();
    }
  });
  let shown = null;
  new MutationObserver(() => {
    announce();
    const section = find(".votes[data-comparison]") ?? find(".votes-kept");
    if (section !== shown) {
      shown = section;
      show();
    }
  }).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["disabled"],
  });
}

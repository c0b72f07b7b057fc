() => {
  // The tab Compare: it begins with what is asked on the other tab, is dimmed when something else is
  // asked, says when all sides are done, and keeps votes in this browser and nowhere else.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  const AS_IT_IS = { __type__: "update" };

  // What is kept in a storage of the browser; null where there is nothing, or nothing readable.
  const read = (storage, key) => {
    try {
      return JSON.parse(window[storage].getItem(key));
    } catch (error) {
      console.info(`${key} cannot be read:`, error);
      return null;
    }
  };

  // -- what is asked
  // Opened: at first with its picture and fields as they were before the page was loaded again, and
  // without a picture of its own with what is asked on the other tab.
  const FIELDS = "paligemma-compare"; // in the tab's own storage; the picture is in the database
  let taken = "caption en"; // the prompt that nobody typed here
  let before = read("sessionStorage", FIELDS);
  if (!Array.isArray(before)) before = null;
  let isFirst = true, present = null, coming = [];
  const ofOne = (prompt) => prompt?.replace(/^(<image>)+/, ""); // a comparison is about one picture
  page.takeFirst = async ([askedImage, severalPrompt, image, ...fields]) => {
    const askedPrompt = ofOne(severalPrompt);
    const found = fields.map((_, index) => {
      const value = before?.length === fields.length ? before[index] : null;
      return typeof value === "string" ? value : AS_IT_IS;
    });
    const isTyped = before !== null || fields[0] !== taken;
    const [comingImage, comingPrompt] = coming;
    const mayBeKept = isFirst && !image && !comingImage;
    before = null;
    isFirst = false;
    coming = [];
    const kept = mayBeKept ? await page.uploadCompared() : null;
    const isThere = image || comingImage || present; // or was given meanwhile
    if (comingPrompt) found[0] = AS_IT_IS;
    else if (!isTyped && !isThere && !kept && askedImage && askedPrompt) found[0] = taken = askedPrompt;
    return [isThere ? AS_IT_IS : (kept ?? askedImage ?? AS_IT_IS), ...found];
  };
  page.takeAsked = ([image, severalPrompt]) => {
    const prompt = ofOne(severalPrompt);
    coming = [image, prompt]; // what was kept does not take its place
    find("#tabs [role=tab][data-tab-id=compare]").click();
    return [image ?? AS_IT_IS, prompt || AS_IT_IS];
  };
  let asked = null, current = null;
  let askedCount = 0, count = Infinity; // of sides: asked last, and shown
  // The picture's path, the prompt, and the fields of the sides that are shown.
  const keyOf = ([image, prompt, count, ...fields]) =>
    JSON.stringify([image?.path ?? null, prompt, ...fields.slice(0, 4 * count)]);
  const compare = () => {
    const tab = find("#compare-answers")?.closest(".tabitem");
    tab?.classList.toggle("stale", asked !== null && current !== asked);
    tab?.classList.toggle("fewer", count < askedCount); // than the summary speaks of
    hideVotes();
  };
  // Nobody votes about a side that is hidden.
  const hideVotes = () => {
    for (const pair of document.querySelectorAll(".vote[data-pair]"))
      pair.hidden = [...pair.dataset.pair].some((letter) => "ABCD".indexOf(letter) >= count);
  };
  page.compareAsked = (values) => {
    asked = current = keyOf(values);
    askedCount = count = Number(values[2]);
    compare();
    return [];
  };
  page.compareChanged = (values) => {
    current = keyOf(values);
    present = values[0];
    count = Number(values[2]);
    compare();
    page.tabStorage.setItem(FIELDS, JSON.stringify(values.slice(1)));
    page.keepCompared(present);
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
  const NO_ROOM =
    "The vote was not kept: this browser has no room for it. Download the votes and clear them, or " +
    "clear this site’s data, and vote again.";
  const isVote = (each) => ["id", "pair", "vote"].every((name) => typeof each?.[name] === "string");
  const kept = () => {
    const votes = read("localStorage", VOTES);
    return Array.isArray(votes) ? votes.filter(isVote) : [];
  };
  const keep = (votes) => {
    let refusal = "";
    try {
      localStorage.setItem(VOTES, JSON.stringify(votes));
    } catch (error) {
      console.info("The votes are not kept:", error);
      refusal = NO_ROOM;
    }
    find(".votes-refused").textContent = refusal;
    show(); // also takes back the choice that was not kept
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
    hideVotes();
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

() => {
  // The answers of this browser, in a database of its own: the newest few, with their pictures. None
  // is ever sent, but the one that is chosen, as a picture and fields are that somebody gives.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  const MOST = 24, MOST_BYTES = 64 * 2 ** 20, THUMBNAIL_PX = 112;
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const open = async () => {
    const opening = indexedDB.open("paligemma-history", 1);
    opening.onupgradeneeded = () =>
      opening.result.createObjectStore("answers", { keyPath: "id", autoIncrement: true });
    return done(opening);
  };
  // A database that stays open would keep another tab from clearing it.
  const use = async (mode, work) => {
    const base = await open();
    try {
      return await work(base.transaction("answers", mode).objectStore("answers"));
    } finally {
      base.close();
    }
  };
  const orNothing = (promise) =>
    promise.catch((error) => {
      console.info("The history is not kept:", error);
      return null;
    });

  const thumbnailOf = async (blob) => {
    const bitmap = await createImageBitmap(blob);
    const scale = Math.min(1, THUMBNAIL_PX / Math.min(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/webp", 0.7);
  };
  const blobsOf = ({ blob, more = [] }) => [blob, ...more.map((each) => each.blob)];
  // What another version of the page kept may lack what this one shows.
  const isReadable = ({ blob, fields, details, more = [] }) =>
    blob instanceof Blob && more.every((each) => each?.blob instanceof Blob) && Array.isArray(fields) && typeof details?.prompt === "string" &&
    Array.isArray(details.detections) &&
    details.detections.every((each) => typeof each?.label === "string");
  const trim = async (answers) => {
    let count = 0, bytes = 0;
    for (const each of (await done(answers.getAll())).reverse()) {
      if (!isReadable(each)) {
        await done(answers.delete(each.id));
        continue;
      }
      count += 1;
      bytes += blobsOf(each).reduce((sum, { size }) => sum + size, 0) + JSON.stringify(each.details).length;
      if (count > MOST || bytes > MOST_BYTES) await done(answers.delete(each.id));
    }
  };

  // -- other tabs, which show the same answers
  const tabs = new BroadcastChannel("paligemma-history");
  tabs.onmessage = () => orNothing(show());

  // -- remembering
  // The same answer to the same question: the prompt says what of the fields before the settings
  // was asked, and the text what was found.
  const FIRST_SETTING = 10;
  const keyOf = ({ fields, details: { prompt, text, checkpoint, adapter, finish_reason: end } }) =>
    JSON.stringify([fields[0], fields.slice(FIRST_SETTING), prompt, text, checkpoint, adapter, end]);
  const bytesOf = async (blob) => new Uint8Array(await blob.arrayBuffer());
  const isSame = async (one, other) => {
    const [ones, others] = [blobsOf(one), blobsOf(other)];
    if (String(ones.map(({ size }) => size)) !== String(others.map(({ size }) => size))) return false;
    if (keyOf(one) !== keyOf(other)) return false;
    for (const [index, each] of ones.entries()) {
      const bytes = await bytesOf(others[index]);
      if (!(await bytesOf(each)).every((byte, at) => byte === bytes[at])) return false;
    }
    return true;
  };
  const remember = async ([image, ...rest], details) => {
    const fields = rest.slice(0, -1); // the further pictures are the last
    const [{ blob }, ...more] = await Promise.all([image, ...(rest.at(-1) ?? [])].map(page.fileOf));
    const thumbnail = await thumbnailOf(blob).catch(() => ""); // of a kind that browsers cannot show
    // The page's own objects are proxies, which no database takes.
    const plain = JSON.parse(JSON.stringify({ fields, details }));
    const entry = { blob, thumbnail, name: image.orig_name ?? "picture", more, ...plain };
    // Pictures are compared first: a transaction ends where something else is waited for.
    const same = [];
    for (const each of await use("readonly", (answers) => done(answers.getAll())))
      if (isReadable(each) && (await isSame(each, entry))) same.push(each.id);
    await use("readwrite", async (answers) => {
      for (const id of same) await done(answers.delete(id));
      await done(answers.add(entry));
      await trim(answers);
    });
    tabs.postMessage("changed");
    await show();
  };
  page.remember = ([details]) => {
    const values = page.askedValues;
    if (details?.finish_reason) page.answered?.();
    if (values?.[0]?.url && details?.finish_reason) orNothing(remember(values, details));
    return [];
  };

  // -- the list
  const GONE =
    "This answer is not kept any more: another tab cleared it or kept newer ones. Ask again to get it.";
  const note = (text) => {
    const line = find("#history-note");
    if (line && line.textContent !== text) line.textContent = text;
  };
  const itemOf = ({ id, thumbnail, details, more = [] }) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const picture = document.createElement("img"), words = document.createElement("span");
    const prompt = document.createElement("code"), text = document.createElement("span");
    button.type = "button";
    button.dataset.answer = id;
    picture.alt = "";
    if (thumbnail) picture.src = thumbnail;
    prompt.textContent = details.prompt;
    const found = details.detections.map((each) => each.label).join(", ");
    const pictures = more.length ? `${more.length + 1} pictures · ` : "";
    text.textContent = `${pictures}${found || details.text || "nothing"} · ${details.checkpoint}`;
    words.append(prompt, text);
    button.append(picture, words);
    item.append(button);
    return item;
  };
  const show = async () => {
    const list = find("#history-list");
    if (!list) return;
    const kept = await use("readonly", (all) => done(all.getAll()));
    const answers = kept.filter(isReadable).reverse();
    if (answers.length < kept.length) await use("readwrite", trim);
    const focused = list.contains(document.activeElement) && document.activeElement.dataset.answer;
    list.replaceChildren(...answers.map(itemOf));
    if (focused) (find(`[data-answer="${focused}"]`) ?? find("#history > button"))?.focus();
    note("");
    list.dataset.shown = "";
    list.hidden = !answers.length;
    list.nextElementSibling.hidden = answers.length > 0;
    const clear = find("#clear-history");
    if (clear) clear.disabled = !answers.length;
  };
  page.clearHistory = async () => {
    await orNothing(use("readwrite", (answers) => done(answers.clear())));
    tabs.postMessage("changed");
    await orNothing(show());
    find("#history > button")?.focus(); // what was pressed is disabled now
    return [];
  };

  // -- restoring
  // One after another: the last one that was pressed meanwhile is next. `chosen` is on its way.
  let chosen = null, next = null, presses = 0;
  const begin = () => {
    if (chosen || !next) return;
    [chosen, next] = [find("#run")?.disabled ? null : next, null];
    if (chosen) find("#recall").click();
  };
  const end = () => {
    chosen = null;
    begin();
  };
  document.addEventListener("click", async (event) => {
    const id = event.target.closest?.("[data-answer]")?.dataset.answer;
    if (id === undefined || find("#run")?.disabled) return;
    const press = ++presses;
    const kept = await orNothing(use("readonly", (answers) => done(answers.get(Number(id)))));
    if (press !== presses) return;
    next = kept ?? null;
    note("");
    if (!kept) {
      await orNothing(show());
      note(GONE);
    }
    begin();
  });
  page.recallQuestion = async (values, needed, about) => {
    const [image, ...more] = await Promise.all(
      [chosen, ...(chosen.more ?? [])].map(({ blob, name }) => orNothing(page.upload(blob, name))),
    );
    return page.onlyMeant([image, ...chosen.fields, more.filter(Boolean)], about);
  };
  page.recallAnswer = ([image, , further]) => [image, chosen.details, further];
  const frame = () => new Promise(requestAnimationFrame);
  page.recalled = async () => {
    await frame();
    await frame(); // what the answer changed is drawn
    page.answered();
    end();
    return [];
  };
  page.recallFailed = () => {
    end();
    return [];
  };

  const follow = () => {
    const list = find("#history-list");
    if (!list) return;
    if (list.dataset.shown === undefined) {
      list.dataset.shown = "";
      orNothing(show());
    }
    const inert = Boolean(find("#run")?.disabled);
    if (list.inert !== inert) list.inert = inert;
  };
  new MutationObserver(follow).observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["disabled"],
  });
  follow();
}

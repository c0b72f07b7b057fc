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
  const trim = async (answers) => {
    let count = 0, bytes = 0;
    for (const each of (await done(answers.getAll())).reverse()) {
      count += 1;
      bytes += each.blob.size + JSON.stringify(each.details).length;
      if (count > MOST || bytes > MOST_BYTES) await done(answers.delete(each.id));
    }
  };

  // -- remembering
  const remember = async ([image, ...fields], details) => {
    const blob = await (await fetch(image.url)).blob();
    const thumbnail = await thumbnailOf(blob).catch(() => ""); // of a kind that browsers cannot show
    // The page's own objects are proxies, which no database takes.
    const plain = JSON.parse(JSON.stringify({ fields, details }));
    const entry = { blob, thumbnail, name: image.orig_name ?? "picture", ...plain };
    await use("readwrite", async (answers) => {
      await done(answers.add(entry));
      await trim(answers);
    });
    await show();
  };
  page.remember = ([details]) => {
    const values = page.askedValues;
    if (values?.[0]?.url && details?.finish_reason) orNothing(remember(values, details));
    return [];
  };

  // -- the list
  const itemOf = ({ id, thumbnail, details }) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const picture = document.createElement("img"), words = document.createElement("span");
    const prompt = document.createElement("code"), text = document.createElement("span");
    button.type = "button";
    button.dataset.answer = id;
    picture.alt = "";
    if (thumbnail) picture.src = thumbnail;
    prompt.textContent = details.prompt;
    const found = details.detections.map((each) => each.label).join(", ");
    text.textContent = `${found || details.text || "nothing"} · ${details.checkpoint}`;
    words.append(prompt, text);
    button.append(picture, words);
    item.append(button);
    return item;
  };
  const show = async () => {
    const list = find("#history-list");
    if (!list) return;
    const answers = (await use("readonly", (all) => done(all.getAll()))).reverse();
    list.replaceChildren(...answers.map(itemOf));
    list.dataset.shown = "";
    list.hidden = !answers.length;
    list.nextElementSibling.hidden = answers.length > 0;
    const clear = find("#clear-history");
    if (clear) clear.disabled = !answers.length;
  };
  page.clearHistory = async () => {
    await orNothing(use("readwrite", (answers) => done(answers.clear())));
    await orNothing(show());
    find("#history > button")?.focus(); // what was pressed is disabled now
    return [];
  };

  // -- restoring
  let chosen = null;
  document.addEventListener("click", async (event) => {
    const id = event.target.closest?.("[data-answer]")?.dataset.answer;
    if (id === undefined || find("#run")?.disabled) return;
    chosen = await orNothing(use("readonly", (answers) => done(answers.get(Number(id)))));
    if (chosen) find("#recall").click();
  });
  page.recallQuestion = async () => {
    const image = await page.upload(chosen.blob, chosen.name);
    return [image, ...chosen.fields];
  };
  page.recallAnswer = ([image]) => [image, chosen.details];

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

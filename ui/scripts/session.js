() => {
  // What was asked stays in the browser, for a page that is loaded again: Gradio does that after
  // every lost connection. The fields are in the tab's own storage and go with it; the pictures, and
  // what the first was cut from, too large for that, are in a database under the tab's key.
  const page = (window.paligemma ??= {});
  const FIELDS = "paligemma-fields", TAB = "paligemma-tab", LOST = "paligemma-lost";
  const LONGEST_KEPT_MS = 24 * 3600 * 1000;
  const LOST_NOTE = "Not connected. Trying again; your picture and text are kept.";
  const BACK_NOTE = "Connected again. Your picture and text were kept; press Run to ask again.";
  const tab = page.tabStorage.getItem(TAB) ?? `${Date.now()}-${Math.random()}`;
  page.tabStorage.setItem(TAB, tab);

  // -- the picture
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const store = async (mode) => {
    const opening = indexedDB.open("paligemma", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("pictures");
    return (await done(opening)).transaction("pictures", mode).objectStore("pictures");
  };
  let keptPath = null;
  const fileOf = async (image) => {
    if (!image?.url) return null;
    return { blob: await (await fetch(image.url)).blob(), name: image.orig_name ?? "picture" };
  };
  let further = [];
  const keepPicture = async (image) => {
    const whole = page.wholeOf?.(image) ?? null; // of a part of a picture: what it was cut from
    const path = JSON.stringify([image?.path, whole?.path, further.map((each) => each.path)]);
    if (path === keptPath) return;
    keptPath = path;
    const [kept, from, ...more] = await Promise.all([image, whole, ...further].map(fileOf));
    if (keptPath !== path) return; // another one came meanwhile
    const pictures = await store("readwrite");
    if (kept || more.length) await done(pictures.put({ ...kept, whole: from, more }, tab));
    else await done(pictures.delete(tab));
  };
  page.keepPicture = (image) => orNothing(keepPicture(image));
  page.fileOf = fileOf;
  const forgetOld = async () => {
    const pictures = await store("readwrite");
    for (const key of await done(pictures.getAllKeys()))
      if (Date.now() - parseInt(key) > LONGEST_KEPT_MS) pictures.delete(key);
  };
  const uploadKept = async () => {
    const kept = await done((await store("readonly")).get(tab));
    if (!kept) return [null, []];
    const [image, whole, ...more] = await Promise.all(
      [kept, kept.whole, ...(kept.more ?? [])].map((each) => (each?.blob ? page.upload(each.blob, each.name) : null)),
    );
    if (image && whole) page.restorePart(image, whole);
    return [image, more.filter(Boolean)];
  };
  page.upload = async (blob, name) => {
    const { root, api_prefix: prefix } = window.gradio_config;
    const body = new FormData();
    body.append("files", blob, name);
    const reply = await fetch(`${root}${prefix}/upload`, { method: "POST", body });
    if (!reply.ok) return null;
    const [path] = await reply.json();
    return {
      path,
      url: `${root}${prefix}/file=${path}`,
      orig_name: name,
      size: blob.size,
      mime_type: blob.type,
      meta: { _type: "gradio.FileData" },
    };
  };
  // A browser that keeps nothing, as in some private windows, loses what it lost before.
  const orNothing = (promise) =>
    promise.catch((error) => {
      console.info("The picture is not kept:", error);
      return null;
    });

  // -- the picture of the tab Compare, which is never cut
  const COMPARED = `${tab}-compare`;
  let comparedPath = null;
  const keepCompared = async (image) => {
    const path = image?.path ?? null;
    if (path === comparedPath) return;
    comparedPath = path;
    const kept = await fileOf(image);
    if (comparedPath !== path) return; // another one came meanwhile
    const pictures = await store("readwrite");
    if (kept) await done(pictures.put(kept, COMPARED));
    else await done(pictures.delete(COMPARED));
  };
  const uploadCompared = async () => {
    const kept = await done((await store("readonly")).get(COMPARED));
    return kept ? page.upload(kept.blob, kept.name) : null;
  };
  page.keepCompared = (image) => orNothing(keepCompared(image));
  page.uploadCompared = () => orNothing(uploadCompared());

  // -- the fields
  const keep = (values) => {
    further = values.at(-1) ?? [];
    page.tabStorage.setItem(FIELDS, JSON.stringify(values.slice(1, -1)));
    page.keepPicture(values[0]);
  };
  page.asked = (values, needed) => {
    page.markAsked(values, needed);
    page.askedValues = values;
    keep(values);
    return [];
  };
  page.changed = (values, needed) => {
    page.markChanged(values, needed);
    keep(values);
    return [];
  };
  page.restore = async (values, needed, about) => {
    const linked = await orNothing(page.fromLink(values, needed, about));
    if (linked) return linked;
    const fields = JSON.parse(page.tabStorage.getItem(FIELDS) ?? "null");
    orNothing(forgetOld());
    if (fields?.length !== values.length - 2) return values;
    const [image, more] = (await orNothing(uploadKept())) ?? [null, []];
    if (page.tabStorage.getItem(LOST)) {
      page.tabStorage.removeItem(LOST);
      tell(BACK_NOTE);
    }
    return page.onlyMeant([image, ...fields, more], about, true);
  };

  // -- the connection
  const tell = (text) => {
    const line = document.querySelector("#status .status, #status .notice");
    if (line && line.textContent !== text) line.textContent = text;
  };
  new MutationObserver(() => {
    const toasts = [...document.querySelectorAll(".toast-wrap .toast-body")];
    if (!toasts.some((toast) => toast.textContent.includes("Connection to the server was lost"))) return;
    page.tabStorage.setItem(LOST, "1");
    tell(LOST_NOTE);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}

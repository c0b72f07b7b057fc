() => {
  // A link to what is asked: it carries the fields of the task, the model, how it decodes and the
  // picture of an example, and opening it fills the page and runs nothing. Uploads are in no link.
  const page = (window.paligemma ??= {});
  // A picture's place among uploads ends with a digest of its content and its name.
  const endOf = (path) => (path ?? "").split("?")[0].split("/").slice(-2).join("/");
  const cards = () => [...document.querySelectorAll("#examples .example")];
  const iconOf = (card) => card?.querySelector("img")?.src;
  const exampleOf = (image) =>
    image ? cards().findIndex((card) => endOf(iconOf(card)) === endOf(image.path)) : -1;

  const urlOf = (values, needed, { names, defaults, models }) => {
    const url = new URL(location.href);
    url.search = url.hash = "";
    const unused = page.unusedBy(values[1], needed);
    names.forEach((name, index) => {
      const value = values[index];
      if (!name || unused.has(index) || value === null || value === undefined) return;
      if (index === 1 || String(value) !== String(defaults[index])) url.searchParams.set(name, value);
    });
    const [size, variant, resolution] = values.slice(11, 14);
    const model = Object.keys(models).find((each) => models[each].join() === [size, variant, resolution].join());
    if (model) url.searchParams.set("model", model);
    const example = exampleOf(values[0]);
    if (example >= 0) url.searchParams.set("example", example + 1);
    return url.href;
  };
  // A button that says for a moment what it did.
  page.flash = (button, text) => {
    const label = (button.dataset.label ??= button.textContent);
    button.textContent = text;
    setTimeout(() => (button.textContent = label), 2000);
  };
  page.copyLink = async (values, needed, about) => {
    const url = urlOf(values, needed, about);
    try {
      await navigator.clipboard.writeText(url);
    } catch {
      window.prompt("Copy this link:", url); // a page without https may not write to the clipboard
      return [];
    }
    const isWhole = (!values[0] || exampleOf(values[0]) >= 0) && !values.at(-1)?.length;
    page.flash(document.querySelector("#copy-link"), isWhole ? "Link copied" : "Copied, without pictures");
    return [];
  };

  // Whether a field can have a value: one that its list offers, a number in its range, any text.
  const isMeant = (value, index, { names, ranges, offered }) => {
    const range = ranges[index], list = offered[names[index]];
    if (list) return list.includes(value);
    if (!range) return true;
    if (value === null) return range.may_be_empty;
    const is = typeof value === "number" && range.low <= value && value <= range.high;
    return is && (!range.is_whole || Number.isSafeInteger(value));
  };
  // What was typed on this page stays so, also a number outside its range, which Run names. (Sliders
  // bring theirs back into it by themselves.)
  const TYPED = ["left", "top", "right", "bottom", "seed"];
  const isTyped = (value, index, { names }) => TYPED.includes(names[index]) && typeof value === "number";
  page.onlyMeant = (values, about, areTyped = false) =>
    values.map((value, index) =>
      isMeant(value, index, about) || (areTyped && isTyped(value, index, about))
        ? value
        : about.defaults[index],
    );

  // What a link asks for, as values of the page's fields; null where the address asks for nothing.
  page.fromLink = async (values, needed, about) => {
    const { names, defaults, models } = about;
    const asked = new URLSearchParams(location.search);
    if (![...names, "model", "example"].some((name) => name && asked.has(name))) return null;
    const found = values.map((value, index) => (index === 0 ? null : (defaults[index] ?? value)));
    names.forEach((name, index) => {
      const text = name ? asked.get(name) : null;
      if (text === null) return;
      const isNumber = typeof defaults[index] === "number";
      const value = isNumber ? (text.trim() === "" ? NaN : Number(text)) : text;
      if (isMeant(value, index, about)) found[index] = value;
    });
    const model = models[asked.get("model")];
    if (model) found.splice(11, 3, ...model);
    const icon = iconOf(cards()[Number(asked.get("example")) - 1]);
    if (icon) found[0] = await page.upload(await (await fetch(icon)).blob(), endOf(icon).split("/")[1]);
    // Once: what is typed from now on must not be lost when the page is loaded again.
    const rest = new URL(location.href);
    for (const name of [...names, "model", "example"]) rest.searchParams.delete(name);
    history.replaceState(history.state, "", rest);
    return found;
  };
}

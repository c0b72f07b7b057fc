() => {
  // Further pictures of a prompt: chosen, dropped or pasted, shown in their order, and taken out.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  let files = [], hasFirst = false, room = { name: "", most: 1 };

  // What was set comes back as the value, perhaps after something else was set: the last one counts.
  const keyOf = (given) => JSON.stringify(given.map(({ path }) => path));
  let coming = [];
  const set = (next) => {
    files = next;
    coming.push(keyOf(files));
    find("#set-several").click();
    draw();
  };
  page.setSeveral = () => [files];
  page.showSeveral = ([given, image, ...model], rooms) => {
    const [name, most] = rooms[model.join(" ")] ?? [room.name, room.most];
    const value = given ?? [], at = coming.indexOf(keyOf(value));
    coming = keyOf(value) === keyOf(files) ? [] : coming.slice(at + 1);
    if (at < 0 || !coming.length) files = value;
    [hasFirst, room] = [Boolean(image), { name, most }];
    draw();
    return [];
  };
  const free = () => Math.max(0, room.most - 1 - files.length);

  // -- what is shown
  const itemOf = (file, index) => {
    const item = document.createElement("li"), remove = document.createElement("button");
    const picture = document.createElement("img");
    const name = file.orig_name ?? "";
    picture.src = file.url;
    picture.alt = `Picture ${index + 2}${name ? `: ${name}` : ""}`;
    remove.type = "button";
    remove.ariaLabel = remove.title = `Remove picture ${index + 2}`;
    remove.dataset.further = index;
    item.append(picture, remove);
    return item;
  };
  const words = (most) => (most === 1 ? "one picture" : `${most} pictures`);
  const say = (text) => {
    const line = find("#several-said");
    if (line && line.textContent !== text) line.textContent = text;
  };
  let drawn = "";
  const draw = () => {
    const list = find("#several-list"), count = files.length;
    if (!list) return;
    // What it begins with is beside a picture alone, and where there is room for another.
    find("#ask-panel").classList.toggle("may-add", room.most > 1 && (hasFirst || count > 0));
    find("#table").classList.toggle("is-several", count > 0);
    const add = find("#add-picture");
    if (add.disabled !== !free()) add.disabled = !free();
    const now = keyOf(files);
    if (now !== drawn) {
      const from = list.contains(document.activeElement) ? Number(document.activeElement.dataset.further) : -1;
      list.replaceChildren(...files.map(itemOf));
      list.hidden = !count;
      // What was focused is gone: its successor is next, or the button that gives another.
      if (from >= 0) (list.querySelectorAll("button")[Math.min(from, count - 1)] ?? add).focus();
      drawn = now;
    }
    if (!count) say(uploading ? "Adding …" : problem);
    else if (count + 1 > room.most)
      say(`There are ${count + 1} pictures; ${room.name} has room for ${words(room.most)} in a prompt.`);
    else if (!hasFirst) say("The first picture is missing.");
    else {
      const learned = room.name.startsWith("nano") ? " nano learned with one picture at a time." : "";
      say(`Picture 1 is the one above; boxes belong to it.${learned} ${uploading ? "Adding …" : problem}`.trim());
    }
  };

  // -- giving some
  let uploading = 0, problem = "";
  const isPicture = ({ type, name }) => type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(name);
  const add = async (given) => {
    const pictures = [...given].filter(isPicture), taken = pictures.slice(0, free());
    const left = given.length - taken.length;
    problem = "";
    if (left > 0)
      problem =
        pictures.length < given.length
          ? "What is no picture was not added."
          : `${left === 1 ? "One was" : `${left} were`} not added: ${room.name} has room for ${words(room.most)}.`;
    uploading += 1;
    draw();
    const uploaded = await Promise.all(
      taken.map((file) => page.upload(file, file.name || "picture").catch(() => null)),
    );
    const lost = taken.find((_, index) => !uploaded[index]);
    if (lost) problem = `${lost.name} could not be uploaded. Try a smaller file, or add it again.`;
    const come = uploaded.filter(Boolean).slice(0, free());
    if (come.length) set([...files, ...come]);
    uploading -= 1;
    draw();
  };
  // Whether what is pasted or dropped on the page is a further picture rather than another first one.
  page.addFurther = (given) => {
    const isNext = hasFirst && (files.length > 0 || document.activeElement?.id === "add-picture");
    if (!isNext || !free()) return false;
    add(given);
    return true;
  };
  const picker = document.createElement("input");
  Object.assign(picker, { type: "file", multiple: true, accept: "image/*", hidden: true, id: "further-file" });
  picker.addEventListener("change", () => {
    add([...picker.files]);
    picker.value = "";
  });
  document.body.append(picker);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#add-picture")) picker.click();
    const index = event.target.closest?.("[data-further]")?.dataset.further;
    if (index === undefined) return;
    problem = "";
    set(files.filter((_, each) => each !== Number(index)));
  });

  // Dropped beside the picture they are further ones; several on it are the first and further ones.
  const dropped = (event) => [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
  const placeOf = (event) => event.target.closest?.("#part-row, #several, .block#picture");
  document.addEventListener("dragover", (event) => {
    if (!dropped(event).length || !placeOf(event)?.matches("#part-row, #several")) return;
    event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const place = placeOf(event), given = dropped(event).map((each) => each.getAsFile());
    if (!place || !given.length) return;
    if (place.id !== "picture") {
      event.preventDefault();
      if (hasFirst) add(given);
      else page.giveFirst(given[0], place);
    } else if (given.length > 1 && room.most > 1) {
      event.preventDefault();
      event.stopPropagation();
      page.giveFirst(given[0], place);
      add(given.slice(1));
    }
  }, true);
}

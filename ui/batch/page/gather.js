// Files from a dialog, a drop or a folder -> pictures with names, or one ZIP archive; and their upload.

import { ask } from "./dom.js";

const AT_ONCE = 4; // uploads
const isHidden = (name) => name.split("/").some((part) => part.startsWith(".") || part.startsWith("__MACOSX"));

// What was dropped, folders gone through: [{ name, file }]; a name is a path from the drop on.
export const dropped = async (transfer) => {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return chosen(transfer.files);
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, fail) => entry.file(done, fail));
      found.push({ name: entry.fullPath.replace(/^\//, ""), file });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return;
      for (const each of some) await walk(each);
    }
  };
  for (const entry of entries) await walk(entry);
  return withoutFolder(found);
};

export const chosen = (files) =>
  withoutFolder([...files].map((file) => ({ name: file.webkitRelativePath || file.name, file })));

// Of one folder the names begin within it, as in a terminal.
const withoutFolder = (found) => {
  const first = found[0]?.name.split("/")[0];
  const isFolder = found.length > 0 && found.every(({ name }) => name.startsWith(`${first}/`));
  return isFolder ? found.map((each) => ({ ...each, name: each.name.slice(first.length + 1) })) : found;
};

// What a run can be made of: { archive } or { pictures }, how many `others` were passed over; `error`
// where that cannot be.
export const sort = (found, about) => {
  const seen = found.filter(({ name }) => !isHidden(name));
  const archives = seen.filter(({ name }) => name.toLowerCase().endsWith(".zip"));
  const isPicture = ({ name }) => about.suffixes.some((each) => name.toLowerCase().endsWith(each));
  const pictures = seen.filter(isPicture);
  const others = seen.length - pictures.length - archives.length;
  const most = about.most;
  const bytes = [...pictures, ...archives].reduce((sum, { file }) => sum + file.size, 0);
  let error = "";
  if (archives.length && (archives.length > 1 || pictures.length))
    error = "A ZIP archive stands beside other files. Give one archive, or pictures.";
  else if (!archives.length && !pictures.length)
    error = `There are no pictures among these files. Their names have to end in ${about.suffixes.slice(0, 6).join(", ")} or .zip.`;
  else if (pictures.length > most.pictures)
    error = `There are ${pictures.length.toLocaleString("en")} pictures. Use at most ${most.pictures.toLocaleString("en")} here, or python -m models.batch for more.`;
  else if (bytes > most.bytes)
    error = `The files have ${(bytes / 1e9).toFixed(1)} GB. Use at most ${most.bytes / 1e9} GB.`;
  else {
    const large = pictures.find(({ file }) => file.size > most.pictureBytes);
    if (large)
      error = `${large.name} has ${(large.file.size / 1e6).toFixed(0)} MB. A picture may have ${most.pictureBytes / 1e6} MB.`;
  }
  return { archive: archives[0], pictures: unlike(pictures), others, bytes, error };
};

// Files of one name, from several drops, get names of their own.
const unlike = (pictures) => {
  const names = new Set();
  return pictures.map(({ name, file }) => {
    let free = name;
    for (let number = 2; names.has(free); number += 1) free = name.replace(/(\.[^./]*)$/, ` (${number})$1`);
    names.add(free);
    return { name: free, file };
  });
};

// Send them, and tell of each that is there; whoever stops it sets `signal.stopped`.
export const upload = async (id, { archive, pictures }, tell, signal) => {
  if (archive) {
    await ask(`runs/${id}/archive`, { method: "PUT", body: archive.file });
    return;
  }
  const waiting = [...pictures];
  let sent = 0;
  let failure = null;
  const send = async () => {
    for (let each; !signal.stopped && !failure && (each = waiting.shift()); ) {
      const path = `runs/${id}/pictures?name=${encodeURIComponent(each.name)}`;
      try {
        await ask(path, { method: "PUT", body: each.file });
      } catch (error) {
        failure ??= error;
        return;
      }
      sent += 1;
      tell(sent, pictures.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  if (failure) throw failure;
};

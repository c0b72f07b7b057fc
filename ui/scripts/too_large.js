() => {
  // A picture over the limit is refused before it is sent, in words that stay; Gradio's own go.
  const most = window.gradio_config?.max_file_size ?? Infinity;
  const note = document.createElement("div");
  note.className = "notice notice-error too-large";
  note.setAttribute("role", "alert");
  const refuse = (event) => {
    const field = event.target.closest?.(".block:is(#picture, #compare-picture)");
    const file = field && (event.dataTransfer ?? event.target).files?.[0];
    if (!file) return;
    note.remove();
    if (file.size <= most) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === "change") event.target.value = "";
    field.after(note);
    note.textContent = `${file.name} is larger than ${Math.floor(most / 2 ** 20)} MB. Choose a smaller file, or save it as JPEG.`;
  };
  for (const type of ["change", "drop"]) document.addEventListener(type, refuse, true);
  // With a click on an example, or another picture from elsewhere, it is about nothing any more.
  document.addEventListener("load", (event) => event.target.closest?.("#picture, #compare-picture") && note.remove(), true);
}

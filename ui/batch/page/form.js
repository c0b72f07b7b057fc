// What is asked: pictures, task and fields, model. It knows no run.

import { ask, el, fieldId, labelled, notice, plural, select, setChoices } from "./dom.js";
import { chosen, dropped, sort } from "./gather.js";

const NONE = ["No adapter", ""];

export class Form {
  // `asked` are the fields of the tab Ask, in the order of `ui/batch/tab.py`.
  constructor(about, asked) {
    this.about = about;
    this.found = null;
    const [task, language, question, answer, objects, text, size, variant, resolution, precision, adapter] = asked;
    this.node = el(
      "form",
      { class: "batch-form", "aria-label": "Batch", onsubmit: (event) => event.preventDefault() },
      this.#source(),
      this.#prompt({ task, language, question, answer, objects, text }),
      this.#model([size, variant, String(resolution)], precision, adapter),
    );
    this.#showFields();
    this.#showNote();
  }

  // -- pictures

  #source() {
    const pick = (more) =>
      el("input", {
        type: "file",
        multiple: true,
        hidden: true,
        onchange: (event) => {
          this.#take(chosen(event.target.files));
          event.target.value = "";
        },
        ...more,
      });
    this.files = pick({ accept: `${this.about.suffixes.join(",")},.zip` });
    this.folder = pick({ webkitdirectory: true });
    this.said = el("p", { class: "batch-found" });
    this.problem = el("div", { hidden: true, role: "alert" });
    this.clear = el("button", { type: "button", class: "batch-small", hidden: true, onclick: () => this.#take([]) }, "Take out");
    const { pictures, bytes } = this.about.most;
    const zone = el(
      "div",
      {
        class: "batch-drop",
        ondragover: (event) => {
          event.preventDefault();
          zone.classList.add("over");
        },
        ondragleave: () => zone.classList.remove("over"),
        ondrop: async (event) => {
          event.preventDefault();
          event.stopPropagation();
          zone.classList.remove("over");
          this.#take(await dropped(event.dataTransfer));
        },
      },
      el("p", { class: "batch-drop-title" }, "Drop pictures, a folder or a ZIP archive here"),
      el(
        "div",
        { class: "batch-buttons" },
        el("button", { type: "button", class: "batch-small", onclick: () => this.files.click() }, "Choose files"),
        el("button", { type: "button", class: "batch-small", onclick: () => this.folder.click() }, "Choose a folder"),
        this.clear,
      ),
      this.said,
      el(
        "p",
        { class: "batch-hint" },
        `At most ${plural(pictures, "picture")}, ${bytes / 1e9} GB. They and the results stay on this server for a day after you last looked.`,
      ),
    );
    return el("div", { class: "batch-source" }, zone, this.files, this.folder, this.problem);
  }

  #take(found) {
    this.found = found.length ? sort(found, this.about) : null;
    notice(this.problem, this.found?.error ?? "");
    if (this.found?.error) this.found = null;
    this.clear.hidden = !this.found;
    const { archive, pictures, others, bytes } = this.found ?? {};
    const what = !this.found ? "" : archive ? archive.name : plural(pictures.length, "picture");
    const passed = others ? `, ${plural(others, "other file")} left out` : "";
    this.said.textContent = this.found ? `${what}, ${(bytes / 1e6).toFixed(1)} MB${passed}` : "";
  }

  // -- prompt

  #prompt(asked) {
    const tasks = this.about.tasks;
    const known = tasks.some((each) => each.value === asked.task);
    this.task = select(tasks.map((each) => [each.name, each.value]), known ? asked.task : tasks[0].value);
    const field = (value, placeholder) => el("input", { type: "text", value: value ?? "", placeholder, autocomplete: "off" });
    this.fields = {
      language: select(this.about.languages, asked.language || "en"),
      question: field(asked.question, "What is on the left?"),
      answer: field(asked.answer, "two"),
      objects: field(asked.objects, "cat, dog"),
      text: el("textarea", { rows: 3, value: asked.text ?? "", placeholder: "detect cat ; dog\ncaption en" }),
    };
    const names = {
      language: "Language",
      question: "Question",
      answer: "Answer to write a question for",
      objects: "Objects to find (comma-separated)",
      text: `Prompts, one a line (${this.about.most.prompts} at most)`,
    };
    this.rows = Object.fromEntries(Object.entries(this.fields).map(([name, node]) => [name, labelled(names[name], node)]));
    this.sent = el("output", { class: "batch-sent" });
    const node = el(
      "div",
      { class: "batch-prompt" },
      labelled("Task", this.task),
      ...Object.values(this.rows),
      el("p", { class: "batch-hint" }, "Sent with each picture: ", this.sent),
    );
    node.addEventListener("input", () => this.#showFields());
    return node;
  }

  #showFields() {
    const { inputs } = this.about.tasks.find((each) => each.value === this.task.value);
    for (const [name, row] of Object.entries(this.rows)) row.hidden = !inputs.includes(name);
    clearTimeout(this.later);
    this.later = setTimeout(async () => {
      try {
        const { prompts } = await ask("prompts", { method: "POST", json: this.#fieldValues() });
        this.sent.className = "batch-sent";
        this.sent.textContent = prompts.join(" · ");
      } catch (error) {
        this.sent.className = "batch-sent lacks";
        this.sent.textContent = error.message;
      }
    }, 150);
  }

  #fieldValues() {
    const texts = Object.entries(this.fields).map(([name, node]) => [name, node.value]);
    return { task: this.task.value, ...Object.fromEntries(texts) };
  }

  // -- model

  #model(choice, precision, adapter) {
    const { checkpoints } = this.about;
    const asked = checkpoints.find((each) => String(each.choice) === String(choice));
    this.checkpoint = select(checkpoints.map(({ name }) => [name, name]), asked?.name ?? this.about.default);
    this.precision = select(this.about.precisions, precision || "auto");
    this.adapter = this.about.anyAdapter
      ? el("input", { type: "text", placeholder: "none, or owner/name", list: fieldId(), autocomplete: "off" })
      : select([NONE]);
    this.known = el("datalist", { id: this.adapter.getAttribute("list") ?? "" });
    this.note = el("div", { hidden: true });
    this.#showAdapters();
    this.adapter.value = adapter ?? "";
    if (this.adapter.selectedIndex === -1) this.adapter.value = "";
    const node = el(
      "div",
      { class: "batch-model" },
      labelled("Model", this.checkpoint),
      labelled("Adapter", this.adapter),
      labelled("Precision", this.precision),
      this.about.anyAdapter ? this.known : null,
      this.note,
    );
    node.addEventListener("change", () => {
      this.#showAdapters();
      this.#showNote();
    });
    return node;
  }

  #showAdapters() {
    const { adapters } = this.about.checkpoints.find(({ name }) => name === this.checkpoint.value);
    if (this.about.anyAdapter) this.known.replaceChildren(...adapters.map((each) => el("option", { value: each })));
    else {
      const { value } = this.adapter;
      setChoices(this.adapter, [NONE, ...adapters.map((each) => [each, each])], adapters.includes(value) ? value : "");
    }
  }

  async #showNote() {
    const [checkpoint, precision] = [this.checkpoint.value, this.precision.value];
    try {
      const found = await ask(`note?${new URLSearchParams({ checkpoint, precision })}`);
      if (checkpoint === this.checkpoint.value && precision === this.precision.value)
        notice(this.note, found.missing || found.note, found.missing ? "warning" : "info");
    } catch (error) {
      notice(this.note, error.message);
    }
  }

  // What `start` takes.
  get values() {
    return {
      ...this.#fieldValues(),
      checkpoint: this.checkpoint.value,
      precision: this.precision.value,
      adapter: this.adapter.value.trim(),
    };
  }

  // The prompts are right, before anything is uploaded; the refusal is thrown.
  async check() {
    await ask("prompts", { method: "POST", json: this.#fieldValues() });
  }

  complain(text) {
    notice(this.problem, text);
  }
}

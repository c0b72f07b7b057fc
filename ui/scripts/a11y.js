() => {
  // What Gradio leaves unsaid to assistive technology or out of the keyboard's reach.
  const all = (selector) => document.querySelectorAll(selector);

  // The radios of a group have a name each: under one name they are one tab stop, and arrows move.
  const group = () => {
    for (const set of all("fieldset")) {
      const radios = set.querySelectorAll("input[type=radio]");
      if (!radios.length) continue;
      const name = set.id || "group";
      for (const radio of radios) {
        if (radio.name !== name) {
          const { checked } = radio;
          radio.name = name;
          radio.checked = checked;
        }
        radio.removeAttribute("aria-checked"); // it says so itself, and is right at once
      }
      const title = set.querySelector("[data-testid=block-info]")?.textContent.trim();
      if (title && set.ariaLabel !== title) set.ariaLabel = title;
      if (set.getAttribute("role") !== "radiogroup") set.setAttribute("role", "radiogroup");
    }
  };

  // A copy button inside a label takes the label away from its text field. What cannot be written
  // in can still be focused, selected and scrolled.
  const nameFields = () => {
    for (const field of all("label textarea:not([aria-label])")) {
      const name = field.closest(".block")?.querySelector("[data-testid=block-info]");
      if (name) field.setAttribute("aria-label", name.textContent.trim());
    }
    for (const field of all(":is(#answer, #prompt, #program) textarea[disabled]")) {
      field.disabled = false;
      field.readOnly = true;
    }
    for (const button of all(":is(#answer, #prompt, #program) button[title=Copy]")) {
      const of = `Copy the ${button.closest("#answer, #prompt, #program").id}`;
      if (button.ariaLabel !== of) button.ariaLabel = button.title = of;
    }
  };

  const nameButtons = () => {
    // Its name has to begin with what is written on it.
    for (const button of all(":is(#picture, #compare-picture) :is(button.upload-container, .wrap button)")) {
      const text = button.innerText.trim().replace(/\s+/g, " ");
      if (text && button.ariaLabel !== text) button.ariaLabel = text;
    }
    for (const button of all("button.label-wrap")) {
      const content = button.nextElementSibling;
      const open = Boolean(content) && content.style.display !== "none";
      if (button.ariaExpanded !== String(open)) button.ariaExpanded = String(open);
    }
    for (const picture of all("#examples img[alt$=' icon']")) picture.alt = "";
    // A header that is a button around a button can be pressed by neither.
    for (const header of all(".toast-header[role=button]")) {
      header.removeAttribute("role");
      header.removeAttribute("tabindex");
    }
  };

  // A button that is disabled loses the focus: it goes to Stop during a run and back to Run.
  const running = { "#run": false, "#compare-run": false };
  const follow = () => {
    for (const name of Object.keys(running)) {
      const run = document.querySelector(name);
      const stop = document.querySelector(name.replace("run", "stop"));
      if (!run || !stop || run.disabled === running[name]) continue;
      running[name] = run.disabled;
      const [from, to] = run.disabled ? [run, stop] : [stop, run];
      if ([from, document.body].includes(document.activeElement)) to.focus({ preventScroll: true });
    }
  };

  let waiting = false;
  const improve = () => {
    waiting = false;
    nameFields();
    nameButtons();
    follow();
  };
  new MutationObserver(() => {
    group(); // not with the next frame: a key pressed until then would find no group to move in
    if (!waiting) requestAnimationFrame(improve);
    waiting = true;
  }).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["style", "class", "disabled", "name"],
  });
  group();
  improve();
  // Gradio puts its parts in place one after the other: page.css hides them until then.
  requestAnimationFrame(() => document.documentElement.classList.add("page-ready"));
}

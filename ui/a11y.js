() => {
  // What Gradio leaves unsaid to assistive technology: the names of groups of choices and of text
  // fields with a copy button, whether an accordion is open, and that an example's picture is
  // described by the prompt below it.
  const improve = () => {
    for (const group of document.querySelectorAll("fieldset:not([aria-label])")) {
      const name = group.querySelector("[data-testid=block-info]");
      if (name) group.setAttribute("aria-label", name.textContent.trim());
    }
    // A copy button inside a label takes the label away from its text field.
    for (const field of document.querySelectorAll("label textarea:not([aria-label])")) {
      const name = field.closest(".block")?.querySelector("[data-testid=block-info]");
      if (name) field.setAttribute("aria-label", name.textContent.trim());
    }
    for (const button of document.querySelectorAll("button.label-wrap")) {
      const content = button.nextElementSibling;
      const open = Boolean(content) && content.style.display !== "none";
      if (button.ariaExpanded !== String(open)) button.ariaExpanded = String(open);
    }
    for (const picture of document.querySelectorAll("#examples img[alt$=' icon']")) {
      picture.alt = "";
    }
    follow();
  };
  // A button that is disabled loses the focus: it goes to Stop during a run and back to Run.
  let wasRunning = false;
  const follow = () => {
    const run = document.querySelector("#run"), stop = document.querySelector("#stop");
    if (!run || !stop || run.disabled === wasRunning) return;
    wasRunning = run.disabled;
    const [from, to] = wasRunning ? [run, stop] : [stop, run];
    if ([from, document.body].includes(document.activeElement)) to.focus({ preventScroll: true });
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      improve();
    });
  };
  new MutationObserver(soon).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["style", "class", "disabled"],
  });
  improve();
}

() => {
  // The explanation of an answer: a word that is pointed at or chosen shows its map and its rivals.
  const find = (selector) => document.querySelector(selector);
  const show = (unit) => {
    for (const each of document.querySelectorAll("#explanation [data-unit]")) {
      const chosen = each.dataset.unit === unit;
      each.classList.toggle("chosen", chosen);
      if (each.matches("button")) each.setAttribute("aria-pressed", String(chosen));
    }
  };
  for (const type of ["click", "focusin", "mouseover"])
    document.addEventListener(type, (event) => {
      const unit = event.target.closest?.("#explanation button.unit")?.dataset.unit;
      if (unit !== undefined) show(unit);
    });
  // A new explanation begins with its first word; one of another answer goes.
  let shown = null;
  const follow = () => {
    const made = find("#explanation .explained");
    if (made && made !== shown) show("0");
    shown = made;
    const button = find("#explain");
    if (!button) return;
    const answer = find("#answer textarea")?.value ?? "";
    const stale = find("#answer-panel")?.classList.contains("stale");
    const running = Boolean(find("#run")?.disabled);
    const disabled = !answer || stale || running;
    if (button.disabled !== disabled) button.disabled = disabled;
  };
  new MutationObserver(follow).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["class", "disabled"],
  });
  follow();
}

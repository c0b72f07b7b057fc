() => {
  // Ctrl+V anywhere on the page pastes a picture into it; and an answer becomes the next question.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    // Of the tabs' pictures the one that shows; where text is copied too, a field takes that.
    const field = [...document.querySelectorAll(".block:is(#picture, #compare-picture)")].find(
      (each) => each.offsetParent,
    );
    const isTyped = event.target.closest?.("input, textarea") && event.clipboardData.getData("text");
    if (!file || !field || isTyped) return;
    const isTaken = (field.id === "picture" && page.addFurther([file])) || page.giveFirst(file, field);
    if (!isTaken) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
  // As if it were chosen in a picture's field; whether there was one.
  page.giveFirst = (file, field) => {
    const input = field.querySelector("input[type=file]");
    if (!input) return false;
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };

  // The place of the button is kept from the start of such an answer, so that nothing moves.
  page.showUse = (task) => find("#answer-panel")?.classList.toggle("asks", task === "question");
  page.useQuestion = ([text]) => ["answer", text.trim()];
  const follow = () => {
    const button = find("#use-question");
    if (!button) return;
    const disabled =
      !find("#answer textarea")?.value || Boolean(find("#run")?.disabled) || !find("#answer-panel.asks");
    if (button.disabled !== disabled) button.disabled = disabled;
  };
  new MutationObserver(follow).observe(document.body, {
    subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["class", "disabled"],
  });
  follow();
}

() => {
  // What takes an answer away: a file that was made is fetched at once, a program is copied, and
  // what the shown answer does not have cannot be asked for.
  const page = (window.paligemma ??= {});
  const find = (selector) => document.querySelector(selector);
  page.fetchSaved = ([saved]) => {
    if (!saved?.file) return [];
    const link = document.createElement("a");
    link.href = saved.file.url;
    link.download = saved.file.orig_name;
    link.click();
    return [];
  };
  page.copyProgram = async ([program]) => {
    if (!program) return []; // why there is none stands below the files
    const button = document.activeElement?.closest("#saving button");
    try {
      await navigator.clipboard.writeText(program);
      if (button) page.flash(button, "Copied");
    } catch {
      find("#program textarea")?.select(); // it stands there, to be copied by hand
    }
    return [];
  };
  const HAS = { picture: "#annotated .box", masks: "#annotated .mask", "cut-outs": "#annotated .box" };
  const follow = () => {
    const is = find("#figures code") && !find("#answer-panel.stale") && !find("#run")?.disabled;
    for (const button of document.querySelectorAll("#saving button[id^=save-]")) {
      const needed = HAS[button.id.slice("save-".length)];
      const disabled = !is || Boolean(needed && !find(needed));
      if (button.disabled !== disabled) button.disabled = disabled;
    }
  };
  new MutationObserver(follow).observe(document.body, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["class", "disabled"],
  });
  follow();
}

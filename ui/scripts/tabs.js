() => {
  // The tabs by keyboard: arrows go from one to the next, and each panel has its tab's name.
  const tabs = () => [...document.querySelectorAll("#tabs [role=tab]")];
  document.addEventListener("keydown", (event) => {
    const from = tabs().indexOf(event.target);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (from < 0 || !step) return;
    event.preventDefault();
    const to = tabs().at((from + step) % tabs().length);
    to.click();
    to.focus();
  });
  const name = () => {
    for (const tab of tabs()) {
      const panel = document.getElementById(tab.getAttribute("aria-controls"));
      if (panel && tab.id && panel.getAttribute("aria-labelledby") !== tab.id)
        panel.setAttribute("aria-labelledby", tab.id);
    }
  };
  new MutationObserver(name).observe(document.body, { subtree: true, childList: true });
  name();
}

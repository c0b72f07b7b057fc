() => {
  // The tab Batch has files of its own, fetched when it is first opened.
  const page = (window.paligemma ??= {});
  const place = async () => {
    let found;
    while (!(found = document.getElementById("batch"))) await new Promise(requestAnimationFrame);
    return found;
  };
  page.openBatch = async (asked) => {
    const root = await place();
    const base = new URL(`${window.gradio_config.root}/batch/`, location.href).href;
    try {
      await (await import(`${base}files/main.js`)).open(root, base, asked);
    } catch (error) {
      console.error(error);
      root.textContent = "This tab could not be loaded. Load the page again.";
    }
    return [];
  };
}

() => {
  // What a tab keeps for itself. Where a browser denies it, as private windows do to a page inside
  // another one, it is kept until the page is left.
  const page = (window.paligemma ??= {});
  const inMemory = () => {
    const kept = new Map();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, text) => void kept.set(key, text),
      removeItem: (key) => void kept.delete(key),
    };
  };
  try {
    page.tabStorage = window.sessionStorage;
  } catch (error) {
    console.info("Nothing is kept in this browser:", error);
    page.tabStorage = inMemory();
  }
}

// The demo in another page: <script src="https://HOST/embed.js" data-task="detect"></script>, or the
// script once and <paligemma-demo task="detect"> anywhere. Each is a frame, which the styles of the
// page around it do not reach, and which becomes as high as what is in it. Written for pages with a
// strict content security policy: it needs `script-src` and `frame-src` for HOST and nothing else.
(() => {
  const NAME = "paligemma-demo";
  // What a link to the demo may carry: docs/embedding.md tells of each.
  const ASKED = [
    "task", "language", "question", "answer", "objects", "left", "top", "right", "bottom", "text",
    "precision", "adapter", "tokens", "temperature", "top_k", "top_p", "beams", "seed", "model", "example",
  ];
  const OBSERVED = [...ASKED, "src", "theme", "height", "title"];
  // Until the demo says how high it is: as high as it usually begins, so that nothing below moves.
  const FIRST_PX = { wide: 1080, narrow: 1690 };
  const NARROW_PX = 800; // where its two columns are one
  const MOST_PX = 20_000;

  // A module has no current script; it is found by its name.
  const script =
    document.currentScript ?? [...document.scripts].find((each) => /\/embed\.js($|\?)/.test(each.src));
  const home = script && new URL(".", script.src);

  class Demo extends HTMLElement {
    static observedAttributes = OBSERVED;
    #frame = null;
    #origin = null;
    #isAsked = false;
    #told = (event) => this.#tell(event);

    connectedCallback() {
      this.#frame = document.createElement("iframe");
      // So that the demo knows whose page it is in, whatever this page's own policy.
      this.#frame.referrerPolicy = "origin";
      this.#frame.allow = "camera; clipboard-read; clipboard-write; fullscreen";
      this.#frame.loading = this.getAttribute("loading") ?? "eager";
      const { style } = this.#frame;
      for (const [name, value] of Object.entries({
        display: "block", width: "100%", border: "0", margin: "0", "color-scheme": "normal",
      }))
        style.setProperty(name, value);
      const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
      root.replaceChildren(this.#frame);
      this.style.display ||= "block";
      window.addEventListener("message", this.#told);
      this.#show();
    }

    disconnectedCallback() {
      window.removeEventListener("message", this.#told);
      this.#frame = null;
    }

    // Several attributes may change at once: the frame is loaded after the last.
    attributeChangedCallback(name, before, now) {
      if (!this.#frame || before === now || this.#isAsked) return;
      this.#isAsked = true;
      queueMicrotask(() => {
        this.#isAsked = false;
        if (this.#frame) this.#show();
      });
    }

    #asked() {
      const src = this.getAttribute("src");
      const address = new URL(src ?? home, document.baseURI);
      if (!/^https?:$/.test(address.protocol)) throw new TypeError(`${src} is no address of a demo`);
      if (!address.pathname.endsWith("/")) address.pathname += "/";
      address.search = address.hash = "";
      address.searchParams.set("embed", "1");
      for (const name of ASKED)
        if (this.hasAttribute(name)) address.searchParams.set(name, this.getAttribute(name));
      const theme = this.getAttribute("theme");
      if (theme) address.searchParams.set("__theme", theme);
      return address;
    }

    #show() {
      const { href, origin } = this.#asked();
      this.#origin = origin;
      this.#frame.title = this.getAttribute("title") ?? "PaliGemma 2";
      const fixed = Number.parseInt(this.getAttribute("height"), 10);
      if (fixed) this.#setHeight(fixed);
      else if (!this.#frame.style.height)
        this.#setHeight(this.clientWidth > NARROW_PX ? FIRST_PX.wide : FIRST_PX.narrow);
      if (this.#frame.src !== href) this.#frame.src = href;
    }

    #setHeight(px) {
      this.#frame.style.setProperty("height", `${px}px`);
    }

    #bringIntoView(top) {
      if (top >= 0 && top < window.innerHeight / 2) return;
      const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
      window.scrollBy({ top: top - 16, behavior });
    }

    #tell({ source, origin, data }) {
      if (source !== this.#frame?.contentWindow || origin !== this.#origin) return;
      if (data?.paligemma === "height" && !Number.parseInt(this.getAttribute("height"), 10)) {
        if (data.height > 0 && data.height <= MOST_PX) this.#setHeight(Math.ceil(data.height));
      } else if (data?.paligemma === "show" && Number.isFinite(data.top)) {
        this.#bringIntoView(this.#frame.getBoundingClientRect().top + data.top);
      } else if (data?.paligemma === "result") {
        const told = { detail: data.result, bubbles: true, composed: true };
        this.dispatchEvent(new CustomEvent("paligemma-result", told));
      }
    }
  }

  if (!customElements.get(NAME)) customElements.define(NAME, Demo);
  // The name that Gradio's own component has, which draws into the page itself, where styles mix.
  if (!customElements.get("gradio-app")) customElements.define("gradio-app", class extends Demo {});

  const given = Object.entries(document.currentScript?.dataset ?? {});
  if (given.length) {
    const demo = document.createElement(NAME);
    demo.setAttribute("src", home.href);
    for (const [name, value] of given) demo.setAttribute(name, value);
    document.currentScript.after(demo);
  }
})();

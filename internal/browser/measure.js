// What Check asks of a page: an expression whose value is a found.
(() => {
  const all = (q, root) => Array.from((root || document).querySelectorAll(q));
  const made = "nav, .attention, .tools, .detail, .said"; // what scripts add, and links
  const name = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (typeof e.className === "string" && e.className ? "." + e.className : "");
  const out = { Width: document.documentElement.scrollWidth, Buttons: all("button:not(.try *)").length, Outside: [], Cut: [], Covered: [], Empty: [] };
  out.Paper = getComputedStyle(document.body).backgroundColor;
  out.Strange = all("img, iframe, object, embed, form:not(.try), video, audio, link, base, b, i, script[src]").map(name);
  out.Text = all("h1, h2, h3, figcaption, td, th, dt, dd, li, summary").filter(e => !e.closest(made)).map(e => e.textContent.trim()).join("\n");
  const held = e => {
    for (; e && e !== document.body; e = e.parentElement) if (getComputedStyle(e).overflowX !== "visible") return true;
    return false;
  };
  if (out.Width > innerWidth) {
    out.Outside = all("body *").filter(e => !e.closest("svg *") && e.getBoundingClientRect().right > innerWidth + 1 && !held(e)).slice(0, 10).map(name);
  }
  for (const svg of all("svg")) {
    const box = svg.getBoundingClientRect(), where = svg.querySelector("title").textContent;
    if (box.width === 0) continue;
    if (all("path, rect, circle", svg).length < 3) out.Empty.push(where);
    const texts = all("text", svg).map(e => ({ text: e.textContent, turned: e.hasAttribute("transform"), r: e.getBoundingClientRect() })).filter(t => t.r.width > 0);
    for (const { text, turned, r } of texts) {
      // Across their direction the boxes of texts are larger than the letters.
      const x = turned ? 0.3 * r.width : 1.5, y = turned ? 1.5 : 0.3 * r.height;
      if (r.left < box.left - x || r.right > box.right + x || r.top < box.top - y || r.bottom > box.bottom + y) out.Cut.push(where + ": " + text);
    }
    texts.sort((a, b) => a.r.top - b.r.top);
    for (let i = 0; i < texts.length; i++) {
      for (let j = i + 1; j < texts.length && texts[j].r.top < texts[i].r.bottom; j++) {
        const a = texts[i].r, b = texts[j].r;
        const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const x = texts[i].turned && texts[j].turned ? 0.3 * Math.min(a.width, b.width) : 1.5;
        const y = !texts[i].turned && !texts[j].turned ? 0.3 * Math.min(a.height, b.height) : 1.5;
        // The boxes of texts have some room above and below the letters.
        if (w > x && h > y) out.Covered.push(where + ": " + texts[i].text + " | " + texts[j].text);
      }
    }
  }
  return out;
})()

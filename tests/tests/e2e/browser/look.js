// Evaluated in the page: what there is to see, as JSON. Lists are unfolded first.
(() => {
  const all = (selector, of = document) => [...of.querySelectorAll(selector)];
  all("details").forEach((details) => { details.open = true; });
  const text = (node) => node.textContent.trim();
  const box = (node) => node.getBoundingClientRect();
  const isShown = (node) => node.checkVisibility() && box(node).width > 0;

  // The colour that is really there is asked of a canvas: one number each of red, green, blue, alpha.
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const cache = new Map();
  const rgba = (color) => {
    if (!cache.has(color)) {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = color;
      pixel.fillRect(0, 0, 1, 1);
      cache.set(color, [...pixel.getImageData(0, 0, 1, 1).data]);
    }
    return cache.get(color);
  };
  const light = (color) => {
    const [r, g, b] = rgba(color).map((c) => {
      const part = c / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
    return "white";
  };
  // Of text in a chart: the last filled rectangle drawn before it that it stands on.
  const behindDrawn = (node) => {
    const { x, y, width, height } = box(node);
    const [across, down] = [x + width / 2, y + height / 2];
    let found = null;
    for (let at = node.previousElementSibling; at && !found; at = at.previousElementSibling) {
      if (at.tagName !== "rect" || at.getAttribute("fill") === "none") continue;
      const area = box(at);
      const holds = area.left <= across && across <= area.right && area.top <= down && down <= area.bottom;
      if (holds) found = getComputedStyle(at).fill;
    }
    return found ?? behind(node.ownerSVGElement);
  };
  const contrast = (front, back) => {
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  // Ten thousand rows look alike.
  const texts = [];
  for (const node of document.body.querySelectorAll("*")) {
    const hasText = [...node.childNodes].some((of) => of.nodeType === 3 && of.data.trim());
    const isTold = hasText && !["TITLE", "DESC"].includes(node.tagName.toUpperCase());
    if (isTold && isShown(node)) texts.push(node);
    if (texts.length === 2000) break;
  }
  const contrasts = texts.map((node) => {
    const isDrawn = node.tagName === "text";
    const front = isDrawn ? getComputedStyle(node).fill : getComputedStyle(node).color;
    const back = isDrawn ? behindDrawn(node) : behind(node);
    return { text: text(node).slice(0, 40), front, back, contrast: contrast(front, back) };
  });

  const fits = document.documentElement.scrollWidth <= document.documentElement.clientWidth;
  const section = (name) => document.querySelector(`section[aria-labelledby="h-${name}"]`);
  const rows = (of) => (of ? all("tbody tr", of) : []);
  const cell = (row, label) => text(all("td", row).find((td) => td.dataset.label === label));
  const map = document.querySelector("#heat-map");
  const picture = map && all("svg", map).find(isShown);
  // Bold numbers are the upper ones of a cell, and the next text is the lower one.
  const upper = picture ? all("text[font-weight=bold]", picture) : [];
  const hits = section("users");
  const listed = all(":scope > .scroll tbody tr", hits);
  return JSON.stringify({
    windowWidth: document.documentElement.clientWidth,
    contentWidth: document.documentElement.scrollWidth,
    tooWide: fits ? [] : all("body *").filter((node) => box(node).right > innerWidth + 1)
      .slice(0, 5).map((node) => node.outerHTML.slice(0, 120)),
    background: getComputedStyle(document.body).backgroundColor,
    contrasts,
    bans: rows(section("bans")).length,
    banned: rows(section("bans")).map((row) => cell(row, "Client")),
    users: listed.flatMap((row) => all(".names bdi", row).map(text)),
    snippet: document.querySelector("pre.snippet")?.textContent ?? null,
    ignoreip: all("code.line").map(text),
    cells: upper.map((node) => [text(node), text(node.nextElementSibling)]),
    rows: rows(map).map((row) => ({
      maxretry: cell(row, "maxretry"),
      prevented: cell(row, "Failures prevented"),
      users: cell(row, "Real users hit"),
    })),
  });
})();

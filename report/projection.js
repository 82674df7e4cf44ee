
// The map of points: search, what is known of a point where the pointer is, and its nearest neighbours in the original space.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var svg = document.querySelector("figure.full svg"), figures = document.querySelector(".figures");
  var NS = "http://www.w3.org/2000/svg", limit = 20, missing = 65535;
  function bytes(text) {
    return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
  }
  function words(text) {
    var b = bytes(text), v = new DataView(b.buffer), out = new Uint16Array(b.length / 2);
    for (var i = 0; i < out.length; i++) out[i] = v.getUint16(2 * i, true);
    return out;
  }
  var X = words(data.x), Y = words(data.y), near = words(data.near), trust = bytes(data.trust), n = X.length;
  var values = data.values || [], columns = data.columns || [];
  function add(parent, name, text, cls) {
    var e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    parent.appendChild(e);
    return e;
  }
  function name(i) {
    if (data.text >= 0 && values[i]) return values[i][data.text] || "(empty)";
    return "point " + (data.numbers ? data.numbers[i] : i);
  }
  var tools = document.createElement("div");
  tools.className = "tools";
  figures.parentNode.insertBefore(tools, figures);
  var label = add(tools, "label", "Search ");
  var search = add(label, "input");
  search.type = "search";
  var found = add(tools, "span", "", "note");
  found.setAttribute("role", "status");
  var list = add(tools, "ul", undefined, "choices");
  var detail = document.createElement("div");
  detail.className = "detail";
  detail.setAttribute("aria-live", "polite");
  figures.parentNode.insertBefore(detail, figures.nextSibling);
  add(detail, "p", "Press a point, or search, for what is known of it and for its nearest neighbours in the original space.", "note");
  var tip = add(document.body, "div", "", "tip");
  tip.hidden = true;

  var marks = svg.appendChild(document.createElementNS(NS, "g")), lines = svg.appendChild(document.createElementNS(NS, "g"));
  function shape(parent, kind, attributes) {
    var e = document.createElementNS(NS, kind);
    for (var k in attributes) e.setAttribute(k, attributes[k]);
    parent.appendChild(e);
  }
  function ring(parent, i, r, cls) {
    shape(parent, "circle", { cx: X[i] / 64, cy: Y[i] / 64, r: r, fill: "none", "stroke-width": 2, class: cls });
  }
  function clear(e) {
    while (e.firstChild) e.removeChild(e.firstChild);
  }
  function choice(parent, i) {
    var b = add(add(parent, "li"), "button");
    b.type = "button";
    var t = add(b, "bdi", name(i));
    t.dir = "auto";
    b.addEventListener("click", function () { select(i); });
  }
  function select(i) {
    clear(lines);
    clear(detail);
    var h = add(detail, "h3"), t = add(h, "bdi", name(i));
    t.dir = "auto";
    add(detail, "p", "trustworthiness " + (trust[i] / 255).toFixed(2), "note");
    columns.forEach(function (c, k) {
      if (k === data.text || !values[i]) return;
      var p = add(detail, "p");
      add(p, "span", c + ": ", "name");
      add(p, "bdi", values[i][k]);
    });
    add(detail, "p", "Nearest in the original space:");
    var ol = add(detail, "ol", undefined, "choices");
    for (var k = 0; k < data.k; k++) {
      var j = near[i * data.k + k];
      if (j === missing) continue;
      shape(lines, "line", { x1: X[i] / 64, y1: Y[i] / 64, x2: X[j] / 64, y2: Y[j] / 64, class: "s-ink" });
      ring(lines, j, 6, "s-ink");
      choice(ol, j);
    }
    ring(lines, i, 10, "s-series1");
  }
  search.addEventListener("input", function () {
    clear(list);
    clear(marks);
    var q = search.value.trim().toLowerCase(), hits = 0;
    for (var i = 0; q && i < n; i++) {
      var text = values[i] ? values[i].join("\n") : name(i);
      if (text.toLowerCase().indexOf(q) < 0) continue;
      if (hits < 1000) ring(marks, i, 7, "s-series1");
      if (hits < limit) choice(list, i);
      hits++;
    }
    found.textContent = !q ? "" : hits + (hits === 1 ? " point" : " points") + (hits > limit ? "; the first " + limit + ":" : "");
  });
  function at(e) {
    var r = svg.getBoundingClientRect(), box = svg.viewBox.baseVal;
    var x = (e.clientX - r.left) / r.width * box.width * 64, y = (e.clientY - r.top) / r.height * box.height * 64;
    var best = -1, least = 640 * 640;
    for (var i = 0; i < n; i++) {
      var d = (X[i] - x) * (X[i] - x) + (Y[i] - y) * (Y[i] - y);
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  svg.addEventListener("mousemove", function (e) {
    var i = at(e);
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = name(i).slice(0, 200);
    tip.style.left = Math.max(0, Math.min(e.clientX + 12, document.documentElement.clientWidth - tip.offsetWidth - 4)) + "px";
    tip.style.top = e.clientY + 14 + "px";
  });
  svg.addEventListener("mouseleave", function () { tip.hidden = true; });
  svg.addEventListener("click", function (e) {
    var i = at(e);
    if (i >= 0) select(i);
  });
})();

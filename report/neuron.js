
// What a head's attention is made of: the query of a token, the key of each, their products number by number, their sum, and softmax.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent), redraws = [];
  if (data.views.indexOf("neuron") < 0) return;
  function add(parent, name, text, cls) {
    var e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    parent.appendChild(e);
    return e;
  }
  function numbers(text, most) {
    var b = Int8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
    return Float32Array.from(b, function (v) { return v / 127 * most; });
  }
  function colour(role) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + role).trim();
  }
  function choose(tools, label, names, pick) {
    var menu = add(add(tools, "label", label + " "), "select");
    names.forEach(function (n, i) { add(menu, "option", n).value = i; });
    menu.addEventListener("change", function () { pick(+menu.value); });
    return menu;
  }
  function view(text, root) {
    if (!text.neurons || !text.neurons.length) return;
    var n = text.tokens.length, token = 0, at = text.neurons.length - 1;
    add(root, "h3", "Neuron");
    add(root, "p", "The query q of a token and the key k of each, number by number: orange above 0, blue below. Their products q×k add up to q·k; softmax of q·k/√D is the attention. Numbers are rounded to 1/127 of a head's largest.", "note");
    var tools = add(root, "div", undefined, "tools");
    choose(tools, "Layer and head", text.neurons.map(function (m) { return m.layer + "-" + m.head; }), function (i) { at = i; draw(); }).value = at;
    var menu = choose(tools, "Token", text.tokens.map(function (t, i) { return i + " " + t; }), function (i) { token = i; draw(); });
    var frame = add(root, "div", undefined, "scroll");
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", "Query, keys and their products");
    var canvas = add(frame, "canvas"), said = add(root, "p", "", "said"), row = 19, left = 110, strip = 192, gap = 10;
    said.setAttribute("aria-live", "polite");
    canvas.setAttribute("role", "img");
    function draw() {
      var m = text.neurons[at], d = m.width, q = numbers(m.queries, m.most), k = numbers(m.keys, m.most), i, j;
      var scores = [], products = new Float32Array(n * d), top = 0, sum = 0, highest = -Infinity;
      for (j = 0; j < n; j++) {
        scores[j] = 0;
        for (i = 0; i < d; i++) {
          var p = products[j * d + i] = q[token * d + i] * k[j * d + i];
          scores[j] += p;
          top = Math.max(top, Math.abs(p));
        }
        highest = Math.max(highest, scores[j]);
      }
      var soft = scores.map(function (s) {
        var e = Math.exp((s - highest) / Math.sqrt(d));
        sum += e;
        return e;
      }).map(function (e) { return e / sum; });
      var scale = window.devicePixelRatio || 1, width = left + 2 * (strip + gap) + 200, height = (n + 3) * row, g = canvas.getContext("2d");
      canvas.width = width * scale;
      canvas.height = height * scale;
      canvas.style.width = width + "px";
      canvas.style.height = height + "px";
      g.scale(scale, scale);
      g.textBaseline = "middle";
      g.font = "13px system-ui, sans-serif";
      var up = colour("series1"), down = colour("series0"), ink = colour("ink"), muted = colour("muted");
      function cells(values, from, most, x, y) {
        for (var i = 0; i < d; i++) {
          var v = most > 0 ? values[from + i] / most : 0;
          g.globalAlpha = Math.min(1, Math.abs(v));
          g.fillStyle = v > 0 ? up : down;
          g.fillRect(x + i * strip / d, y + 2, strip / d, row - 4);
        }
        g.globalAlpha = 1;
        g.strokeStyle = colour("rule");
        g.strokeRect(x, y + 2, strip, row - 4);
      }
      function label(s, x, y, align, paint) {
        g.fillStyle = paint;
        g.textAlign = align;
        g.fillText(s, x, y + row / 2);
      }
      var x2 = left + strip + gap, x3 = x2 + strip + gap;
      label("q of “" + Array.from(text.tokens[token]).slice(0, 8).join("") + "”", left - 6, 0, "right", ink);
      cells(q, token * d, m.most, left, 0);
      ["key k", "q×k", "q·k", "softmax"].forEach(function (s, i) { label(s, [left, x2, x3 + 62, x3 + 76][i], 1.5 * row, i === 2 ? "right" : "left", muted); });
      for (j = 0; j < n; j++) {
        var y = (j + 2.7) * row;
        label(Array.from(text.tokens[j]).slice(0, 13).join(""), left - 6, y, "right", ink);
        cells(k, j * d, m.most, left, y);
        cells(products, j * d, top, x2, y);
        label(scores[j].toFixed(2), x3 + 62, y, "right", muted);
        g.fillStyle = down;
        g.fillRect(x3 + 76, y + 3, 70 * soft[j], row - 6);
        label(soft[j].toFixed(3), x3 + 150, y, "left", ink);
      }
      var order = soft.map(function (v, j) { return [v, j]; }).sort(function (a, b) { return b[0] - a[0] || a[1] - b[1]; });
      said.textContent = "From “" + text.tokens[token] + "” in layer " + m.layer + ", head " + m.head + ": " +
        order.slice(0, 8).map(function (o) { return text.tokens[o[1]] + " " + o[0].toFixed(3); }).join(", ");
      canvas.setAttribute("aria-label", "Query of token " + token + " and keys of " + n + " tokens in layer " + m.layer + ", head " + m.head);
    }
    frame.addEventListener("keydown", function (e) {
      var step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (!step) return;
      token = Math.max(0, Math.min(n - 1, token + step));
      menu.value = token;
      draw();
      e.preventDefault();
    });
    draw();
    redraws.push(draw);
  }
  data.texts.forEach(function (text, i) {
    view(text, document.getElementById("attention" + i));
  });
  function redraw() { redraws.forEach(function (f) { f(); }); }
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();

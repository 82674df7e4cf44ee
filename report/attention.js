
// Attention by layer and head: lines between tokens, and a thumbnail of each head.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent), redraws = [];
  function add(parent, name, text, cls) {
    var e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    parent.appendChild(e);
    return e;
  }
  function bytes(text) {
    return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
  }
  function shows(name) { return data.views.indexOf(name) >= 0; }
  function colour(role) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + role).trim();
  }
  // The parts of a pair: tokens that look, and tokens that are looked at.
  var blocks = ["all tokens", "first → first", "first → second", "second → first", "second → second"];
  function inBlock(text, block, i, j) {
    if (!block) return true;
    if (text.special.indexOf(i) >= 0 || text.special.indexOf(j) >= 0) return false;
    return (i >= text.second) === block > 2 && (j >= text.second) === (block === 2 || block === 4);
  }
  // The weights of a head: [n,n].
  function weights(text, map, bare, block) {
    var n = text.tokens.length, out = new Float32Array(n * n), b = bytes(map.weights), i, j;
    if (map.to) {
      var to = new DataView(bytes(map.to).buffer), k = text.kept;
      for (i = 0; i < n * k; i++) {
        j = Math.floor(i / k) * n + to.getUint16(2 * i, true);
        if (b[i]) out[j] = b[i] / 255 * map.most;
      }
    } else {
      for (i = 0; i < n * n; i++) out[i] = b[i] / 255 * map.most;
    }
    if (bare) {
      var special = {};
      text.special.forEach(function (s) { special[s] = true; });
      for (i = 0; i < n; i++) {
        var sum = 0;
        for (j = 0; j < n; j++) {
          if (special[i] || special[j]) out[i * n + j] = 0;
          sum += out[i * n + j];
        }
        for (j = 0; j < n && sum > 0; j++) out[i * n + j] /= sum;
      }
    }
    for (i = 0; block && i < n * n; i++) if (!inBlock(text, block, Math.floor(i / n), i % n)) out[i] = 0;
    return out;
  }
  function view(text, root) {
    var n = text.tokens.length, layers = [], bare = false, block = 0, token = -1, right = false, chosen = {}, cache = {};
    text.maps.forEach(function (m) { if (layers.indexOf(m.layer) < 0) layers.push(m.layer); });
    var layer = layers[layers.length - 1];
    function heads() { return text.maps.filter(function (m) { return m.layer === layer; }); }
    function of(m) {
      var key = m.layer + " " + m.head + " " + bare + " " + block;
      if (!cache[key]) cache[key] = weights(text, m, bare, block);
      return cache[key];
    }
    var heading = add(root, "h3", "Heads");
    var tools = add(root, "div", undefined, "tools");
    var label = add(tools, "label", "Layer "), menu = add(label, "select");
    layers.forEach(function (l) {
      var o = add(menu, "option", l + " (" + (l + 1) + " in papers)");
      o.value = l;
    });
    menu.value = layer;
    menu.addEventListener("change", function () { layer = +menu.value; draw(); });
    var bareLabel = add(tools, "label"), box = add(bareLabel, "input");
    box.type = "checkbox";
    bareLabel.appendChild(document.createTextNode(" without [CLS] and [SEP], rows renormalised"));
    box.addEventListener("change", function () { bare = box.checked; cache = {}; draw(); thumbnails(); });
    if (text.second) {
      var part = add(add(tools, "label", " Between "), "select");
      blocks.forEach(function (name, i) { add(part, "option", name).value = i; });
      part.addEventListener("change", function () { block = +part.value; cache = {}; draw(); thumbnails(); });
    }
    var boxes = add(tools, "div", undefined, "heads");
    boxes.setAttribute("role", "group");
    boxes.setAttribute("aria-label", "Heads");
    var buttons = [];
    heads().forEach(function (m, c) {
      chosen[m.head] = true;
      var b = add(boxes, "button", m.head < 0 ? "all heads" : "" + m.head, "h" + c % 5);
      b.type = "button";
      b.addEventListener("click", function () { chosen[m.head] = !chosen[m.head]; draw(); });
      b.addEventListener("dblclick", function () { only(m.head); });
      buttons.push({ head: m.head, button: b });
    });
    function only(head) {
      for (var h in chosen) chosen[h] = +h === head;
      draw();
    }
    add(tools, "p", "Press a head to show or hide it, twice to show it alone. Point at a token, or move by the arrow keys, for its weights.", "note");
    var frame = add(root, "div", undefined, "scroll");
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", "Attention between tokens");
    var canvas = add(frame, "canvas"), said = add(root, "p", "", "said"), row = 19, width = 440, left = 130, far = 270;
    said.setAttribute("aria-live", "polite");
    function sized(c, w, h) {
      var scale = window.devicePixelRatio || 1;
      c.width = w * scale;
      c.height = h * scale;
      c.style.width = w + "px";
      c.style.height = h + "px";
      var g = c.getContext("2d");
      g.scale(scale, scale);
      return g;
    }
    function fit(g, name, most) {
      var r = Array.from(name);
      while (r.length > 1 && g.measureText(r.join("")).width > most) r.pop();
      return r.join("");
    }
    function draw() {
      var shown = heads().filter(function (m) { return chosen[m.head]; }), g = sized(canvas, width, n * row + 6), i, j;
      buttons.forEach(function (b) { b.button.setAttribute("aria-pressed", !!chosen[b.head]); });
      var mean = new Float32Array(n * n), most = 0;
      shown.forEach(function (m, c) {
        var w = of(m);
        for (i = 0; i < n * n; i++) mean[i] += w[i] / shown.length;
      });
      for (i = 0; i < n * n; i++) most = Math.max(most, mean[i]);
      g.lineWidth = 1.6;
      shown.forEach(function (m) {
        var w = of(m), top = 0;
        for (i = 0; i < n * n; i++) top = Math.max(top, w[i]);
        var c = heads().indexOf(m);
        g.strokeStyle = colour("series" + c % 5);
        for (i = 0; i < n; i++) {
          for (j = 0; j < n; j++) {
            if (token >= 0 && token !== (right ? j : i)) continue;
            var alpha = top > 0 ? w[i * n + j] / top : 0;
            if (alpha < 0.04) continue;
            g.globalAlpha = alpha / Math.sqrt(shown.length);
            g.beginPath();
            g.moveTo(left, (i + 0.5) * row);
            g.lineTo(far, (j + 0.5) * row);
            g.stroke();
          }
        }
      });
      g.globalAlpha = 1;
      g.font = "13px system-ui, sans-serif";
      g.textBaseline = "middle";
      var links = [];
      for (i = 0; i < n; i++) {
        var y = (i + 0.5) * row, name = fit(g, text.tokens[i], 116);
        g.fillStyle = colour("ink");
        g.textAlign = "right";
        g.font = (token === i && !right ? "bold " : "") + "13px system-ui, sans-serif";
        g.fillText(name, left - 6, y);
        g.textAlign = "left";
        g.font = (token === i && right ? "bold " : "") + "13px system-ui, sans-serif";
        g.fillText(name, far + 6, y);
        if (token >= 0) {
          var v = right ? mean[i * n + token] : mean[token * n + i];
          links.push([v, i]);
          if (v > 0.005 * most) {
            g.fillStyle = colour("muted");
            g.textAlign = right ? "left" : "right";
            g.fillText(v.toFixed(3), right ? 2 : width - 2, y);
          }
        }
      }
      links.sort(function (a, b) { return b[0] - a[0] || a[1] - b[1]; });
      said.textContent = token < 0 ? "" : (right ? "To “" : "From “") + text.tokens[token] + "”, mean of the heads shown: " +
        links.slice(0, 8).filter(function (l) { return l[0] > 0; }).map(function (l) { return text.tokens[l[1]] + " " + l[0].toFixed(3); }).join(", ");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", "Attention in layer " + layer + ", of " + shown.length + " heads, between " + n + " tokens");
    }
    function point(i, side) {
      if (i === token && side === right) return;
      token = i;
      right = side;
      draw();
    }
    canvas.addEventListener("mousemove", function (e) {
      var r = canvas.getBoundingClientRect(), i = Math.floor((e.clientY - r.top) / row);
      point(i >= 0 && i < n ? i : -1, e.clientX - r.left > (left + far) / 2);
    });
    canvas.addEventListener("mouseleave", function () { point(-1, false); });
    frame.addEventListener("keydown", function (e) {
      var step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (e.key === "ArrowRight" || e.key === "ArrowLeft") point(Math.max(0, token), e.key === "ArrowRight");
      else if (step) point(Math.max(0, Math.min(n - 1, token + step)), right);
      else return;
      e.preventDefault();
    });
    var second = [add(root, "h3", "Model"), add(root, "p", "A thumbnail for each layer, down, and head, across." + (shows("head") ? " Press one to see it above." : ""), "note")];
    var scroll = add(root, "div", undefined, "scroll"), small = add(scroll, "canvas"), cell = 48, gap = 4, head0 = 26, columns = heads().length;
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", "All layers and heads");
    small.setAttribute("role", "img");
    small.setAttribute("aria-label", "Thumbnails of " + layers.length + " layers and " + columns + " heads");
    function thumbnails() {
      var g = sized(small, head0 + columns * (cell + gap), layers.length * (cell + gap) + 20);
      var hex = colour("series0"), tile = document.createElement("canvas"), t = tile.getContext("2d");
      var rgb = [1, 3, 5].map(function (i) { return parseInt(hex.slice(i, i + 2), 16); });
      tile.width = tile.height = n;
      g.font = "11px system-ui, sans-serif";
      g.textBaseline = "middle";
      text.maps.forEach(function (m, at) {
        var w = weights(text, m, bare, block), top = 0, image = t.createImageData(n, n), i;
        for (i = 0; i < n * n; i++) top = Math.max(top, w[i]);
        for (i = 0; i < n * n; i++) {
          image.data.set(rgb, 4 * i);
          image.data[4 * i + 3] = top > 0 ? 255 * Math.sqrt(w[i] / top) : 0;
        }
        t.putImageData(image, 0, 0);
        var x = head0 + at % columns * (cell + gap), y = Math.floor(at / columns) * (cell + gap) + 18;
        g.imageSmoothingEnabled = n > cell;
        g.drawImage(tile, x, y, cell, cell);
        g.strokeStyle = colour("rule");
        g.strokeRect(x, y, cell, cell);
        g.fillStyle = colour("muted");
        g.textAlign = "center";
        if (at < columns && m.head >= 0) g.fillText(m.head, x + cell / 2, 9);
        g.textAlign = "right";
        if (at % columns === 0) g.fillText(m.layer, head0 - 6, y + cell / 2);
      });
    }
    small.addEventListener("click", function (e) {
      var r = small.getBoundingClientRect();
      var c = Math.floor((e.clientX - r.left - head0) / (cell + gap)), l = Math.floor((e.clientY - r.top - 18) / (cell + gap));
      var m = text.maps[l * columns + c];
      if (c < 0 || c >= columns || !m) return;
      layer = m.layer;
      menu.value = layer;
      only(m.head);
    });
    [[shows("head"), [heading, tools, frame, said]], [shows("model"), second.concat(scroll)]].forEach(function (part) {
      part[1].forEach(function (e) { e.hidden = !part[0]; });
    });
    if (shows("head")) redraws.push(draw);
    if (shows("model")) redraws.push(thumbnails);
    draw();
    thumbnails();
  }
  data.texts.forEach(function (text, i) {
    view(text, document.getElementById("attention" + i));
  });
  function redraw() { redraws.forEach(function (f) { f(); }); }
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();

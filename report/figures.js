
// Curves along another axis, with another smoothing or a logarithmic scale; matrices with other shares, and the examples of a cell.
// The pictures are complete without this.
(function () {
  "use strict";
  var source = document.getElementById("figures");
  if (!source) return;
  var page = JSON.parse(source.textContent), NS = "http://www.w3.org/2000/svg", decoded = [], shared = [];
  function array(at) {
    if (!decoded[at]) {
      var b = Uint8Array.from(atob(page.arrays[at]), function (c) { return c.charCodeAt(0); }), v = new DataView(b.buffer), out = [];
      for (var i = 0; i < b.length; i += 4) out.push(v.getFloat32(i, true));
      decoded[at] = out;
    }
    return decoded[at];
  }
  function add(parent, name, text, cls) {
    var e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    parent.appendChild(e);
    return e;
  }
  function shape(parent, name, attributes, text) {
    var e = document.createElementNS(NS, name);
    for (var k in attributes) e.setAttribute(k, attributes[k]);
    if (text !== undefined) e.textContent = text;
    parent.appendChild(e);
    return e;
  }
  function clear(e) {
    while (e.firstChild) e.removeChild(e.firstChild);
  }
  function before(e, cls) {
    var d = document.createElement("div");
    d.className = cls;
    e.parentNode.insertBefore(d, e);
    return d;
  }
  function reading(tools, hint) {
    var said = add(tools, "p", hint, "said note");
    said.setAttribute("aria-live", "polite");
    return said;
  }
  function choose(parent, label, options, value, change) {
    var menu = add(add(parent, "label", label + " "), "select");
    options.forEach(function (o) { add(menu, "option", o[1]).value = o[0]; });
    menu.value = value;
    menu.addEventListener("change", function () { change(menu.value); });
  }
  // A number with four digits, as the page writes them.
  function number(v) {
    var a = Math.abs(v);
    if (v !== v) return "–";
    if (a === Infinity) return v < 0 ? "−∞" : "∞";
    if (a >= 1e15) return v.toPrecision(4);
    if (a >= 1000) return Math.round(v).toLocaleString("en-US");
    if (a === 0) return "0";
    if (a >= 1e-4) return "" + +v.toPrecision(a < 1e-3 ? 3 : 4);
    var parts = v.toExponential(2).split("e-");
    return +parts[0] + "e-" + ("0" + parts[1]).slice(-2);
  }
  function trimmed(v, places) { return "" + +v.toFixed(places); }
  function ticks(s, n) {
    var out = [], low, high, e, m, span = s.max - s.min;
    if (s.log) {
      low = Math.floor(Math.log10(s.min));
      high = Math.ceil(Math.log10(s.max));
      var every = Math.max(1, Math.ceil((high - low) / n));
      for (e = low; e <= high; e += every) {
        for (m of high - low <= 2 ? [1, 2, 5] : [1]) {
          var v = m * Math.pow(10, e);
          if (v >= s.min * (1 - 1e-9) && v <= s.max * (1 + 1e-9)) out.push([v, number(v)]);
        }
      }
      if (out.length > 1) return out;
      out = [];
    }
    var step = Math.pow(10, Math.floor(Math.log10(span / n)));
    step *= [1, 2, 5, 10].find(function (m) { return span / (m * step) <= n; });
    var places = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    for (var i = Math.ceil(s.min / step - 1e-9); i * step <= s.max + 1e-9 * step && out.length < 100; i++) {
      var t = i * step, a = Math.abs(t);
      out.push([t, places > 4 ? number(t) : a >= 1e6 ? trimmed(t / 1e6, 2) + "M" : a >= 1e4 ? trimmed(t / 1e3, 1) + "k" : (Math.round(t / step) === 0 ? 0 : t).toFixed(places)]);
    }
    return out;
  }
  // The average of the past, without the bias of its beginning.
  function smooth(y, weight) {
    var mean = 0, past = 1;
    return y.map(function (v) {
      if (!isFinite(v)) return undefined;
      mean = weight * mean + (1 - weight) * v;
      past *= weight;
      return mean / (1 - past);
    });
  }
  // Of each of 500 stretches the least and the greatest number.
  function thin(y) {
    var keep = [], n = y.length, most = 500, i;
    for (i = 0; i < n && n <= 2 * most; i++) keep.push(i);
    for (var s = 0; s < most && n > 2 * most; s++) {
      var from = Math.floor(s * n / most), to = Math.floor((s + 1) * n / most), low = from, high = from;
      for (i = from; i < to; i++) {
        if (!isFinite(y[i])) continue;
        if (!isFinite(y[low]) || y[i] < y[low]) low = i;
        if (!isFinite(y[high]) || y[i] > y[high]) high = i;
      }
      keep.push(Math.min(low, high), Math.max(low, high));
    }
    return keep;
  }
  var dashes = ["", "6 3", "2 2", "8 3 2 3"];
  var shapes = [null, [[-.85, -.85], [.85, -.85], [.85, .85], [-.85, .85]], [[0, -1.15], [1, .75], [-1, .75]], [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]],
    [[-1.2, -.8], [-.8, -1.2], [0, -.4], [.8, -1.2], [1.2, -.8], [.4, 0], [1.2, .8], [.8, 1.2], [0, .4], [-.8, 1.2], [-1.2, .8], [-.4, 0]]];
  var star = [];
  for (var p = 0; p < 10; p++) star.push([(p % 2 ? .573 : 1.5) * Math.sin(p * Math.PI / 5), -(p % 2 ? .573 : 1.5) * Math.cos(p * Math.PI / 5)]);
  shapes.push(star);
  function mark(parent, points, x, y, r, cls) {
    if (!points) return shape(parent, "circle", { cx: x, cy: y, r: r, class: "f-" + cls });
    return shape(parent, "path", { d: "M" + points.map(function (p) { return (x + r * p[0]).toFixed(2) + "," + (y + r * p[1]).toFixed(2); }).join("L") + "Z", class: "f-" + cls });
  }
  function place(svg, e) {
    var r = svg.getBoundingClientRect(), box = svg.viewBox.baseVal;
    return [(e.clientX - r.left) / r.width * box.width, (e.clientY - r.top) / r.height * box.height];
  }

  function curves(d, figure, global) {
    var picture = figure.querySelector(".picture"), svg = picture.querySelector("svg"), axis = d.axes.indexOf(d.xTitle), log = d.log, weight = d.smoothing;
    var area = { x: d.area[0], y: d.area[1], w: d.area[2], h: d.area[3] }, cursor, at = -1, stops, sx, sy, drawn;
    var tools = before(picture, "tools"), hint = "Point at the picture, or move through it by the arrow keys, for its numbers.";
    var box = add(add(tools, "label"), "input");
    box.type = "checkbox";
    box.checked = log;
    box.parentNode.appendChild(document.createTextNode(" logarithmic"));
    box.addEventListener("change", function () { log = box.checked; draw(); });
    var said = reading(tools, hint);
    function paint(i) { return "series" + i % 5; }
    function span(lists) {
      var low = Infinity, high = -Infinity;
      lists.forEach(function (list) {
        list.forEach(function (v) {
          if (isFinite(v) && !(log && lists.y && v <= 0)) {
            low = Math.min(low, v);
            high = Math.max(high, v);
          }
        });
      });
      return [low, high];
    }
    function around(low, high, share) {
      var w = low === high ? Math.max(Math.abs(low) * .1, 1e-6) : (high - low) * share;
      return [low - w, high + w];
    }
    function scales() {
      var xs = span(d.curves.map(function (c) { return array(c.x[axis]); }));
      var ys = d.curves.map(function (c) { return array(c.y); });
      if (d.limit) ys.push([d.limit]);
      ys.y = true;
      ys = span(ys);
      if (xs[0] === xs[1]) xs = around(xs[0], xs[1], 0);
      var logs = log && ys[0] < ys[1], low = ys[0];
      ys = logs ? [low / 1.1, ys[1] * 1.1] : around(low, ys[1], .05);
      if (d.zero && !logs) ys[0] = Math.min(0, low);
      if (d.bands[axis].length) ys[1] = logs ? ys[1] * Math.pow(ys[1] / ys[0], d.room) : ys[1] + d.room * (ys[1] - ys[0]);
      sx = { min: xs[0], max: xs[1], at: function (v) { return area.x + (v - xs[0]) / (xs[1] - xs[0]) * area.w; } };
      var f = logs ? Math.log : function (v) { return v; };
      sy = { min: ys[0], max: ys[1], log: logs, at: function (v) { return area.y + area.h - (f(v) - f(ys[0])) / (f(ys[1]) - f(ys[0])) * area.h; } };
      stops = [];
      d.curves.forEach(function (c) {
        var y = array(c.y);
        array(c.x[axis]).forEach(function (x, i) { if (isFinite(x) && isFinite(y[i])) stops.push(x); });
      });
      stops.sort(function (a, b) { return a - b; });
      stops = stops.filter(function (v, i) { return !i || v !== stops[i - 1]; });
    }
    function line(parent, x, y, attributes) {
      var path = "", open = false, n = 0;
      thin(y).forEach(function (i) {
        if (!isFinite(x[i]) || !isFinite(y[i]) || sy.log && y[i] <= 0) open = false;
        else {
          path += (open ? n === 1 ? "L" : " " : "M") + trimmed(sx.at(x[i]), 2) + "," + trimmed(sy.at(y[i]), 2);
          n = open ? n + 1 : 1;
          open = true;
        }
      });
      attributes.d = path;
      attributes.fill = "none";
      attributes["stroke-linejoin"] = "round";
      if (path) shape(parent, "path", attributes);
    }
    function text(parent, x, y, t, attributes) {
      attributes.x = x;
      attributes.y = y;
      attributes["font-size"] = attributes["font-size"] || 11;
      return shape(parent, "text", attributes, t);
    }
    function draw() {
      scales();
      // What the legend has stays.
      var texts = svg.querySelectorAll("text"), last = d.legend ? texts[d.legend - 1] : svg.querySelector("desc");
      while (last.nextSibling) svg.removeChild(last.nextSibling);
      drawn = true;
      var bottom = area.y + area.h, middle = area.x + area.w / 2, left = 14, a = { class: "f-muted", "text-anchor": "middle" };
      d.bands[axis].forEach(function (b, i) {
        var from = b.from === null ? area.x : sx.at(Math.max(b.from, sx.min)), to = b.to === null ? area.x + area.w : sx.at(Math.min(b.to, sx.max));
        if (!(to > from)) return;
        if (i % 2) shape(svg, "rect", { x: from, y: area.y, width: to - from, height: area.h, class: "f-panel" });
        if (to - from > 50) text(svg, (from + to) / 2, area.y + 14, b.name, { class: "f-muted", "text-anchor": "middle" });
      });
      ticks(sy, 6).forEach(function (t) {
        var y = sy.at(t[0]);
        shape(svg, "path", { d: "M" + area.x + "," + y + "h" + area.w, class: "s-rule" });
        var e = text(svg, area.x - 7, y + 4, t[1], { class: "f-muted", "text-anchor": "end" });
        left = Math.min(left, area.x - 19 - e.getComputedTextLength());
      });
      ticks(sx, 6).forEach(function (t) {
        var x = sx.at(t[0]);
        shape(svg, "path", { d: "M" + x + "," + area.y + "v" + area.h, class: "s-rule" });
        text(svg, x, bottom + 17, t[1], a);
      });
      shape(svg, "path", { d: "M" + area.x + "," + area.y + "v" + area.h + "h" + area.w, fill: "none", class: "s-muted" });
      text(svg, middle, bottom + 37, d.axes[axis], { class: "f-ink", "text-anchor": "middle", "font-size": 12 });
      left = Math.max(left, 7) + 4;
      text(svg, left, area.y + area.h / 2, d.yTitle, { class: "f-ink", "text-anchor": "middle", "font-size": 12, transform: "rotate(-90 " + left + " " + (area.y + area.h / 2) + ")" });
      var id = figure.id + "-live", clip = shape(svg, "clipPath", { id: id });
      shape(clip, "rect", { x: area.x - 8, y: area.y - 8, width: area.w + 16, height: area.h + 16 });
      var g = shape(svg, "g", { "clip-path": "url(#" + id + ")" });
      if (d.limit) shape(g, "path", { d: "M" + area.x + "," + sy.at(d.limit) + "h" + area.w, class: "s-muted", "stroke-width": 1.2, "stroke-dasharray": "5 4" });
      var smoothed = [];
      d.curves.forEach(function (c, i) {
        var x = array(c.x[axis]), y = array(c.y), cls = paint(i), dash = dashes[Math.floor(i / 5) % 4];
        if (c.points) {
          line(g, x, y, { class: "s-" + cls, "stroke-width": 1.6, "stroke-dasharray": dash });
          y.forEach(function (v, j) {
            if (!isFinite(x[j]) || !isFinite(v) || sy.log && v <= 0) return;
            var px = sx.at(x[j]), py = sy.at(v), best = j === c.best;
            mark(g, best ? star : shapes[Math.floor(i / 5) % 4], px, py, best ? 5.5 : 3, cls);
            var end = px > area.x + area.w * .7;
            if (best) text(g, px + (end ? -9 : 9), py + 16, number(v), { class: "f-ink", "text-anchor": end ? "end" : "start" });
          });
          return;
        }
        smoothed[i] = y;
        if (weight > 0) {
          line(g, x, y, { class: "s-" + cls, "stroke-opacity": .35 });
          smoothed[i] = smooth(y, weight);
        }
        line(g, x, smoothed[i], { class: "s-" + cls, "stroke-width": 1.8, "stroke-dasharray": dash });
      });
      (d.marks || []).forEach(function (m) {
        var c = d.curves[m.curve], v = (smoothed[m.curve] || array(c.y))[m.point];
        if (!isFinite(v) || sy.log && v <= 0) return;
        shape(mark(g, shapes[m.shape], sx.at(array(c.x[axis])[m.point]), sy.at(v), m.radius, m.series < 0 ? "ink" : paint(m.series)), "title", {}, m.name);
      });
      cursor = null;
      if (at >= 0) say();
    }
    function say() {
      if (cursor) svg.removeChild(cursor);
      cursor = null;
      if (at < 0) {
        said.textContent = hint;
        return;
      }
      at = Math.min(at, stops.length - 1);
      var x = stops[at], parts = [];
      cursor = shape(svg, "g", {});
      shape(cursor, "path", { d: "M" + sx.at(x) + "," + area.y + "v" + area.h, class: "s-ink", "stroke-dasharray": "2 2" });
      d.curves.forEach(function (c, i) {
        var xs = array(c.x[axis]), j = xs.indexOf(x), y = array(c.y);
        if (j < 0 || !isFinite(y[j])) return;
        var v = !c.points && weight > 0 ? smooth(y.slice(0, j + 1), weight)[j] : y[j];
        parts.push(c.name + " " + number(y[j]) + (!c.points && weight > 0 ? " (smoothed " + number(v) + ")" : ""));
        if (!sy.log || v > 0) shape(cursor, "circle", { cx: sx.at(xs[j]), cy: sy.at(v), r: 4, fill: "none", class: "s-ink", "stroke-width": 2 });
      });
      said.textContent = d.axes[axis] + " " + number(x) + ": " + parts.join("; ");
    }
    scales();
    function near(e) {
      var x = place(svg, e)[0], best = 0;
      stops.forEach(function (v, i) { if (Math.abs(sx.at(v) - x) < Math.abs(sx.at(stops[best]) - x)) best = i; });
      if (at === best) return;
      at = best;
      say();
    }
    svg.addEventListener("pointermove", near);
    svg.addEventListener("pointerdown", near);
    svg.addEventListener("pointerleave", function (e) {
      if (e.pointerType === "touch") return; // a finger that is lifted leaves what it asked for
      at = -1;
      say();
    });
    picture.addEventListener("keydown", function (e) {
      var n = stops.length - 1, far = Math.max(1, Math.round(n / 10));
      var to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? n : at - 1, PageDown: at + far, PageUp: at - far, Home: 0, End: n }[e.key];
      if (e.key === "Escape") at = -1;
      else if (to === undefined || e.ctrlKey || e.altKey || e.metaKey) return;
      else at = Math.max(0, Math.min(n, to));
      say();
      e.preventDefault();
    });
    // Controls of all curves of a section.
    var s = shared.find(function (s) { return s.section === global; });
    if (!s) {
      s = { section: global, redraws: [] };
      shared.push(s);
    }
    s.redraws.push(function (name, w) {
      if (d.axes.indexOf(name) >= 0) axis = d.axes.indexOf(name);
      if (d.smoothing > 0) weight = w;
      draw();
    });
    if (d.axes.length > (s.axes || [""]).length) {
      s.axes = d.axes;
      s.axis = d.xTitle;
    }
    if (d.smoothing > 0) s.smoothing = d.smoothing;
  }
  function controls(s) {
    if (!s.axes && !s.smoothing) return;
    var tools = before(s.section.querySelector(".figures"), "tools"), name = s.axis, w = s.smoothing;
    function all() { s.redraws.forEach(function (r) { r(name, w); }); }
    if (s.axes && s.axes.length > 1) choose(tools, "Curves along", s.axes.map(function (a) { return [a, a]; }), name, function (v) { name = v; all(); });
    if (!s.smoothing) return;
    var label = add(tools, "label", "Smoothing "), slider = add(label, "input"), value = add(label, "output", w.toFixed(2));
    slider.type = "range";
    slider.min = 0;
    slider.max = .99;
    slider.step = .01;
    slider.value = w;
    slider.addEventListener("input", function () {
      w = +slider.value;
      value.textContent = w.toFixed(2);
      all();
    });
  }

  function luminous(colours, share) {
    var at = Math.max(0, Math.min(1, share)) * (colours.length - 1) || 0, i = Math.min(Math.floor(at), colours.length - 2), t = at - i;
    return "rgb(" + [1, 3, 5].map(function (k) {
      var a = parseInt(colours[i].slice(k, k + 2), 16), b = parseInt(colours[i + 1].slice(k, k + 2), 16);
      return Math.round(a + t * (b - a));
    }).join(",") + ")";
  }
  function matrix(d, figure) {
    var picture = figure.querySelector(".picture"), svg = picture.querySelector("svg"), shares = d.shares, at = null, cursor;
    var rows = d.rows.length, columns = d.columns.length, cells = svg.querySelectorAll("g"), layer;
    var tools = before(picture, "tools"), detail = document.createElement("div");
    var hint = "Point at a cell, or move by the arrow keys" + (d.examples ? "; press it, or Enter, for its examples." : ", for its numbers.");
    detail.className = "detail";
    detail.setAttribute("aria-live", "polite");
    picture.parentNode.insertBefore(detail, picture.nextSibling);
    choose(tools, "Shares", [["true", "of each " + d.rowTitle], ["pred", "of each " + d.columnTitle], ["all", "of all"], ["none", "none: counts"]], shares, function (v) {
      shares = v;
      draw();
      if (at) say();
    });
    var said = reading(tools, hint);
    function sum(i, j) {
      var n = 0, most = 0;
      d.counts.forEach(function (row, a) {
        row.forEach(function (v, b) {
          most = Math.max(most, v);
          if (shares === "all" || shares === "true" && a === i || shares === "pred" && b === j) n += v;
        });
      });
      return shares === "none" ? most : n;
    }
    function percent(share) { return number(Math.round(share * 1000) / 10) + " %"; }
    function draw() {
      var texts = svg.querySelectorAll("text"), most = sum(0, 0), sums = {};
      texts[texts.length - 2].textContent = shares === "none" ? number(most) : "100 %";
      if (!d.texts) {
        if (layer) svg.removeChild(layer);
        layer = shape(svg, "g", {});
        shape(layer, "rect", { x: d.left, y: d.top, width: d.cell * columns, height: d.cell * rows, fill: d.colours[0] });
      }
      for (var i = 0; i < rows; i++) {
        for (var j = 0; j < columns; j++) {
          var n = d.counts[i][j], key = shares === "true" ? i : shares === "pred" ? j : 0;
          if (!(key in sums)) sums[key] = sum(i, j);
          var share = n / sums[key], x = d.left + d.cell * j, y = d.top + d.cell * i;
          if (!d.texts) {
            if (n) shape(layer, "rect", { x: x, y: y, width: d.cell, height: d.cell, fill: luminous(d.colours, share) });
            continue;
          }
          var g = cells[i * columns + j], both = shares !== "none" && isFinite(share), black = share >= d.black;
          g.querySelectorAll("text").forEach(function (t) { g.removeChild(t); });
          g.querySelector("rect").setAttribute("fill", luminous(d.colours, share));
          g.querySelector("title").textContent = name(i, j);
          [n.toLocaleString("en-US"), Math.round(100 * share) + " %"].slice(0, both ? 2 : 1).forEach(function (t, k) {
            var size = Math.min(k ? 10.5 : 13, (d.cell - 4) / (.56 * t.length));
            shape(g, "text", { x: x + d.cell / 2, y: y + d.cell / 2 + .36 * size + (both ? 15 * k - 7 : 0), "font-size": size, "text-anchor": "middle", fill: black ? "#000" : "#fff" }, t);
          });
        }
      }
      if (at) move(at[0], at[1]);
    }
    function name(i, j) {
      var n = d.counts[i][j], share = n / sum(i, j);
      return d.rowTitle + " " + d.rows[i] + ", " + d.columnTitle + " " + d.columns[j] + ": " + n.toLocaleString("en-US") + (shares !== "none" && isFinite(share) ? " (" + percent(share) + ")" : "");
    }
    function say() { said.textContent = at ? name(at[0], at[1]) : hint; }
    function move(i, j) {
      at = [Math.max(0, Math.min(rows - 1, i)), Math.max(0, Math.min(columns - 1, j))];
      if (cursor) svg.removeChild(cursor);
      var r = { x: d.left + d.cell * at[1] + 1, y: d.top + d.cell * at[0] + 1, width: d.cell - 2, height: d.cell - 2, fill: "none" };
      cursor = shape(svg, "g", {});
      [["#fff", 4], ["#000", 2]].forEach(function (s) {
        r.stroke = s[0];
        r["stroke-width"] = s[1];
        shape(cursor, "rect", r);
      });
      say();
    }
    function show() {
      if (!d.examples) return;
      var list = (d.examples || {})[at[0] + "," + at[1]] || [], n = d.counts[at[0]][at[1]];
      clear(detail);
      add(add(detail, "h4"), "bdi", name(at[0], at[1]));
      if (!list.length) {
        add(detail, "p", n === 0 ? "There are no examples." : d.kept ? "The page has none of these examples." : "The run kept no examples: with --save-logits an evaluation does.", "note");
        return;
      }
      if (list.length < n) add(detail, "p", "Those of the greatest loss, " + list.length + " of " + n.toLocaleString("en-US") + ":", "note");
      var ol = add(detail, "ol", undefined, "choices");
      list.forEach(function (x) {
        var li = add(ol, "li");
        add(li, "span", x.source + ", probability " + number(x.p) + " ", "name");
        add(li, "bdi", x.text).dir = "auto";
      });
    }
    function cellAt(e) {
      var p = place(svg, e), i = Math.floor((p[1] - d.top) / d.cell), j = Math.floor((p[0] - d.left) / d.cell);
      return i >= 0 && j >= 0 && i < rows && j < columns ? [i, j] : null;
    }
    svg.addEventListener("pointermove", function (e) {
      var c = cellAt(e);
      if (c && !(at && at[0] === c[0] && at[1] === c[1])) move(c[0], c[1]);
    });
    svg.addEventListener("click", function (e) {
      var c = cellAt(e);
      if (!c) return;
      move(c[0], c[1]);
      show();
    });
    picture.addEventListener("keydown", function (e) {
      var a = at || [0, -1], step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
      if (e.ctrlKey || e.altKey || e.metaKey) return;
      if (step) move(at || !step[0] ? a[0] + step[0] : 0, at || !step[0] ? a[1] + step[1] : 0);
      else if (at && (e.key === "Enter" || e.key === " ")) show();
      else return;
      e.preventDefault();
    });
  }

  Object.keys(page.figures).forEach(function (id) {
    var figure = document.getElementById(id), d = page.figures[id];
    if (d.curves) curves(d.curves, figure, figure.closest("section"));
    if (d.matrix) matrix(d.matrix, figure);
  });
  shared.forEach(controls);
})();

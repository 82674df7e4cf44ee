// The page says all it has to say without this: it adds buttons for the theme and for all tables, and sorts tables.
(function () {
  "use strict";
  var root = document.documentElement, header = document.querySelector("header");
  function button(parent, text, press) {
    var b = document.createElement("button");
    b.type = "button";
    b.textContent = text;
    b.addEventListener("click", press);
    parent.appendChild(b);
    return b;
  }
  button(header, "Light or dark", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  if (document.querySelector("details")) {
    button(header, "Show or hide all tables", function () {
      var all = document.querySelectorAll("details"), open = !all[0].open;
      all.forEach(function (d) { d.open = open; });
    });
  }
  // A number as the page writes it; what is none comes last.
  function value(cell) {
    var n = parseFloat(cell.textContent.replace(/,/g, "").replace("−", "-").replace("∞", "Infinity"));
    return n === n ? n : null;
  }
  document.querySelectorAll("table").forEach(function (table) {
    var body = table.tBodies[0], rows = Array.from(body.rows), heads = Array.from(table.tHead.rows[0].cells);
    if (rows.length < 2) return;
    heads.forEach(function (head, column) {
      if (head.querySelector(".hidden")) return;
      var order = 0, content = Array.from(head.childNodes), number = head.classList.contains("n");
      var b = button(head, "", function () {
        order = order === 0 ? number ? -1 : 1 : order === (number ? -1 : 1) ? -order : 0;
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        if (order) head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
        var sorted = rows.slice();
        if (order) {
          sorted.sort(function (a, b) {
            var x = a.cells[column], y = b.cells[column];
            if (!number) return order * x.textContent.localeCompare(y.textContent);
            x = value(x);
            y = value(y);
            return x === null || y === null ? (x === null) - (y === null) : order * (x - y || 0);
          });
        }
        sorted.forEach(function (r) { body.appendChild(r); });
      });
      b.className = "sort";
      content.forEach(function (c) { b.appendChild(c); });
    });
  });
})();

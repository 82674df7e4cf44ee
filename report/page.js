// The page says all it has to say without this: it adds a button for the theme and one that opens all tables.
(function () {
  "use strict";
  var root = document.documentElement, header = document.querySelector("header");
  function button(text, press) {
    var b = document.createElement("button");
    b.type = "button";
    b.textContent = text;
    b.addEventListener("click", press);
    header.appendChild(b);
    return b;
  }
  button("Light or dark", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  if (document.querySelector("details")) {
    button("Show or hide all tables", function () {
      var all = document.querySelectorAll("details"), open = !all[0].open;
      all.forEach(function (d) { d.open = open; });
    });
  }
})();

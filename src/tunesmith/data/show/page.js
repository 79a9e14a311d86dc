"use strict";
(function () {
  var root = document.documentElement;
  var buttons = document.querySelectorAll(".languages button");
  function speak(language) {
    root.lang = language;
    buttons.forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.value === language));
    });
  }
  buttons.forEach(function (button) {
    button.addEventListener("click", function () { speak(button.value); });
  });
  var first = (navigator.languages && navigator.languages[0]) || navigator.language || "en";
  speak(/^zh/i.test(first) ? "zh-CN" : "en");

  var look = document.getElementById("look");
  var hint = look.querySelector("p");
  var list = look.querySelector("dl");
  var none = look.querySelector("template").content;
  var on = null;
  function put(name, nodes) {
    var place = list.querySelector("[data-for=" + name + "]");
    place.replaceChildren.apply(place, nodes);
  }
  function code(text) {
    var element = document.createElement("code");
    element.textContent = text;
    return element;
  }
  function show(token) {
    if (on) { on.classList.remove("on"); }
    on = token;
    hint.hidden = Boolean(token);
    list.hidden = !token;
    if (!token) { return; }
    token.classList.add("on");
    var data = token.dataset;
    var ids = data.i.split(" ");
    var start = Number(data.p);
    put("position", [String(start) + (ids.length > 1 ? "–" + (start + ids.length - 1) : "")]);
    put("id", [ids.join(" ")]);
    put("piece", [code(data.n)]);
    var kind = document.querySelector('.legend [data-name="' + token.classList[1] + '"]');
    put("kind", [kind.cloneNode(true)]);
    put("label", data.l ? [data.l + " ", code(data.t || "")] : [none.cloneNode(true)]);
  }
  function token(event) {
    return event.target.closest ? event.target.closest(".row .t") : null;
  }
  document.addEventListener("mouseover", function (event) { if (token(event)) { show(token(event)); } });
  document.addEventListener("focusin", function (event) { if (token(event)) { show(token(event)); } });
  document.addEventListener("click", function (event) {
    var hit = token(event);
    if (hit) { show(hit); }
  });
  function reach(from, to) {
    if (!to) { return; }
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") { show(null); return; }
    var here = token(event);
    if (!here || event.ctrlKey || event.metaKey || event.altKey) { return; }
    var all = Array.prototype.slice.call(here.closest(".row").querySelectorAll(".t"));
    var at = all.indexOf(here);
    var goal = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + 10, ArrowUp: at - 10, Home: 0, End: all.length - 1 }[event.key];
    if (goal === undefined) { return; }
    event.preventDefault();
    reach(here, all[Math.max(0, Math.min(all.length - 1, goal))]);
  });
  document.querySelectorAll(".row").forEach(function (row) {
    var start = row.querySelector(".t");
    if (start) { start.tabIndex = 0; }
  });
})();

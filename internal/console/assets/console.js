// Says whether the page still renews itself. The figures stay as they are when
// the line is lost; a person must see that they are not of this moment.
(function () {
  "use strict";
  document.documentElement.classList.add("scripted");
  document.addEventListener("htmx:sseOpen", function () {
    document.documentElement.classList.remove("lost");
  });
  // A part that renews itself comes closed from the server: what a person opened
  // stays open.
  var opened = new Set();
  document.addEventListener("toggle", function (event) {
    if (event.target.id) {
      opened[event.target.open ? "add" : "delete"](event.target.id);
    }
  }, true);
  document.addEventListener("htmx:sseMessage", function () {
    opened.forEach(function (id) {
      var details = document.getElementById(id);
      if (details) {
        details.open = true;
      }
    });
  });
  // A part that renews itself between the press and the release of a button would
  // take the link away from under the pointer, and the click with it: renewals wait
  // until the pointer is up.
  var pressed = false;
  var held = new Map();
  document.addEventListener("htmx:sseBeforeMessage", function (event) {
    if (pressed) {
      event.preventDefault();
      held.set(event.detail.type, event.detail);
    }
  });
  document.addEventListener("pointerdown", function () {
    pressed = true;
  }, true);
  function release() {
    setTimeout(function () { // after the click that follows
      pressed = false;
      var waiting = Array.from(held.values());
      held.clear();
      waiting.forEach(function (message) {
        message.target.dispatchEvent(new MessageEvent(message.type, {data: message.data}));
      });
    }, 50);
  }
  document.addEventListener("pointerup", release, true);
  document.addEventListener("pointercancel", release, true);
  document.addEventListener("dragend", release, true);
  window.addEventListener("blur", release);
  // A link to a part that is closed opens it.
  document.addEventListener("click", function (event) {
    var link = event.target.closest && event.target.closest('a[href^="#"]');
    var details = link && document.getElementById(link.getAttribute("href").slice(1));
    if (details && details.tagName === "DETAILS") {
      details.open = true;
    }
  });
  document.addEventListener("htmx:sseError", function () {
    document.documentElement.classList.add("lost");
  });
})();

// Says whether the page still renews itself. The figures stay as they are when
// the line is lost; a person must see that they are not of this moment.
(function () {
  "use strict";
  document.documentElement.classList.add("scripted");
  document.addEventListener("htmx:sseOpen", function () {
    document.documentElement.classList.remove("lost");
  });
  document.addEventListener("htmx:sseError", function () {
    document.documentElement.classList.add("lost");
  });
})();

// Keeps a page up to date in place. Without it every page and button works all the same, by links and forms.
(() => {
  "use strict";
  const { events, now } = document.body.dataset;
  let { place } = document.body.dataset;
  const link = document.getElementById("live");
  const told = document.getElementById("told");
  const ahead = Date.parse(now) - Date.now(); // of the server's clock
  const BEAT = 5000, SOON = 400, LEAST = 1500, QUIET = 4000, COST = 10;

  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  function distance(at) {
    const seconds = (at - Date.now() - ahead) / 1000;
    let left = Math.round(Math.abs(seconds));
    if (!left) return "now";
    const parts = [];
    for (const [size, unit] of units) {
      const number = Math.floor(left / size);
      left %= size;
      if (number || parts.length) parts.push([number, unit]);
    }
    const text = parts.slice(0, 2).filter(([number]) => number).map(([number, unit]) => `${number}${unit}`).join(" ");
    return seconds > 0 ? `in ${text}` : `${text} ago`;
  }
  function tick() {
    for (const time of document.querySelectorAll("time[data-away]")) {
      const text = distance(Date.parse(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
  }
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  function localize() {
    for (const time of document.querySelectorAll("time")) {
      time.title = `${local.format(new Date(time.dateTime))} by your clock, ${time.dateTime} in UTC`;
    }
  }

  // What a row says, but for how long ago that was.
  function essence(row) {
    const signs = [...row.querySelectorAll("time")].map((time) => time.dateTime);
    return [...row.querySelectorAll(".chip, .number, .said")].map((part) => part.textContent).concat(signs).join();
  }

  // Makes `old` what `fresh` is, and leaves alone what is the same: focus, selection and what is open stay.
  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
    const isRow = old.nodeName === "TR" && essence(old) !== essence(fresh);
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open" && name !== "class") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    let here = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const known = next.id && [...old.children].find((child) => child.id === next.id);
      if (known && known !== here) here = old.insertBefore(known, here);
      if (!here) { old.append(next); continue; }
      const after = here.nextSibling;
      morph(here, next);
      here = after;
    }
    while (here) { const gone = here; here = here.nextSibling; gone.remove(); }
    if (isRow) {
      old.classList.add("changed");
      old.addEventListener("animationend", () => old.classList.remove("changed"), { once: true });
    }
  }

  let due = 0, last = 0, took = 0, busy = false;
  async function refresh() {
    due = 0;
    if (busy || document.hidden) return;
    busy = true;
    const began = Date.now();
    try {
      const answer = await fetch(place, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected) return location.reload(); // the session has ended
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focused = document.activeElement;
      for (const old of document.querySelectorAll("[data-live]")) {
        const next = fresh.getElementById(old.id);
        if (next) morph(old, next);
      }
      if (document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });
      localize();
      tick();
    } catch {
      // what could not be fetched now is fetched at the next beat
    } finally {
      busy = false;
      last = Date.now();
      took = last - began;
    }
  }
  function soon() {
    if (!due) due = setTimeout(refresh, Math.max(SOON, last + Math.max(LEAST, COST * took) - Date.now()));
  }

  let spoke = 0;
  function say(text) { // for those who do not see the rows change; not more than can be listened to
    if (Date.now() - spoke < QUIET) return;
    spoke = Date.now();
    told.textContent = text;
  }
  function shows(isLive) {
    link.textContent = isLive ? "Live" : "Refresh";
    link.classList.toggle("on", isLive);
    link.title = isLive ? "This page follows what happens; click to load it anew" : "Load this page anew";
  }

  // A filter does as it is typed; the address follows, so it can be kept or sent on.
  let typed = 0;
  async function filter(form) {
    const said = [...new FormData(form)].filter(([, value]) => value.trim());
    place = new URL(`?${new URLSearchParams(said)}`, form.action).href;
    history.replaceState(null, "", place);
    link.href = place;
    document.querySelector("input[name=next]").value = place.slice(location.origin.length);
    await refresh();
    told.textContent = document.querySelector(".pager span, .empty p")?.textContent ?? "";
  }
  document.querySelector("form.filter")?.addEventListener("input", (event) => {
    clearTimeout(typed);
    typed = setTimeout(filter, SOON, event.currentTarget);
  });

  localize();
  setInterval(tick, 1000);
  if (!events) return;
  const source = new EventSource(events);
  source.addEventListener("open", () => { shows(true); soon(); });
  source.addEventListener("error", () => shows(false));
  source.addEventListener("lost", soon);
  source.addEventListener("record", (event) => {
    const record = JSON.parse(event.data);
    say(`${record.job}: ${record.status.replaceAll("_", " ")}`);
    soon();
  });
  setInterval(soon, BEAT);
  document.addEventListener("visibilitychange", () => document.hidden || soon());
})();

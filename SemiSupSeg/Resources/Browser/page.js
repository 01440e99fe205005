// What the page does by itself: keys, copying, uploading, and noticing that the server is gone.
(() => {
  const KEYS = ["A", "Shift+A", "X", "F", "J", "Shift+J", "U", "E", "N", "Shift+N", "Shift+Z"]; // as on the desktop; never one of the editor's
  const ticket = new URLSearchParams(location.search).get("ticket");
  const say = (name, ...said) => window.trame.trigger(name, said);
  const typed = (element) =>
    element && (element.isContentEditable || /^(input|textarea|select)$/i.test(element.tagName)) &&
    !/^(checkbox|radio|range|button|file)$/.test(element.type || "");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typed(document.activeElement)) return;
    const key = (event.shiftKey ? "Shift+" : "") + event.key.toUpperCase();
    if (KEYS.includes(key)) {
      event.preventDefault();
      say("semisupseg_key", key);
    }
  });

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const text = window.trame.state.get(copy.dataset.copy);
      try {
        await navigator.clipboard.writeText(text);
        say("semisupseg_copied", true);
      } catch {
        say("semisupseg_copied", copyOldWay(text));
      }
    }
    const section = event.target.closest(".v-expansion-panel");
    if (section && event.target.closest(".v-expansion-panel-title")) {
      setTimeout(() => section.scrollIntoView({ block: "nearest", behavior: "smooth" }), 350); // it is unfolded then
    }
    const upload = event.target.closest("[data-upload]");
    if (upload && !upload.disabled) choose(upload.dataset.upload === "folder");
  });

  function copyOldWay(text) { // browsers may refuse the clipboard to a page that asks for it, but not to a selection
    const area = document.createElement("textarea");
    area.value = text;
    area.style.cssText = "position: fixed; opacity: 0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  function choose(folder) {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.webkitdirectory = folder;
    input.dataset.chooser = folder ? "folder" : "files";
    input.style.display = "none";
    const wanted = (file) => !folder || (file.size > 0 && !file.name.startsWith(".") && file.name !== "DICOMDIR");
    input.onchange = () => send([...input.files].filter(wanted))
      .catch(() => say("semisupseg_upload_failed", "Upload: the connection to the server broke off"))
      .finally(() => {
        window.trame.state.set("uploading", "");
        input.remove();
      });
    document.body.append(input);
    input.click();
  }

  async function send(files) {
    const ask = async (where, said) => (await fetch(where, said)).json();
    const { batch, refused } = await ask("/upload", { method: "POST" });
    if (refused) return say("semisupseg_upload_failed", refused);
    for (const [number, file] of files.entries()) {
      window.trame.state.set("uploading", `${number + 1} of ${files.length}: ${file.name}`);
      const where = `/upload/${batch}?name=` + encodeURIComponent(file.webkitRelativePath || file.name);
      const answer = await ask(where, { method: "PUT", body: file });
      if (answer.refused) return say("semisupseg_upload_failed", answer.refused);
    }
    return say("semisupseg_uploaded", batch);
  }

  // A page that lost its server must say so, not look alive.
  const timer = setInterval(async () => {
    let sentence = "";
    try {
      const said = await (await fetch("/seat?ticket=" + ticket)).json();
      if (!said.mine) sentence = "SemiSupSeg was opened in another tab. Load this page again to work here.";
    } catch {
      sentence = "The server has stopped. What you painted is stored: start semisupseg app again and open its address.";
    }
    if (!sentence) return;
    clearInterval(timer);
    const cover = document.createElement("div");
    cover.id = "gone";
    cover.setAttribute("role", "alert");
    cover.textContent = sentence;
    document.body.append(cover);
  }, 2000);
})();

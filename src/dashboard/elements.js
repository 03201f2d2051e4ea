/**
 * Small tools to keep the document equal to the data. Texts come from strangers: they are only ever set as text,
 * never parsed as HTML, and isolated so that right-to-left names do not turn their neighbours around.
 *
 * Nothing is touched that is right already. That is what keeps the reader's focus, selection and place.
 */

export function byId(id) {
  return document.getElementById(id);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** An element with attributes and children, each a text or an element. */
export function create(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Makes the children of `parent` be those of `items`, in their order. An item whose key was there before keeps its
 * element; `update` is called for every one of them.
 */
export function syncChildren(parent, items, { key, make, update }) {
  const before = new Map();
  for (const child of parent.children) before.set(child.dataset.key, child);
  const staying = new Set(items.map((item) => String(key(item))));
  // What leaves goes first, so that what stays need not be moved: an element that is moved loses the focus.
  for (const [name, child] of before) if (!staying.has(name)) child.remove();

  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let element = before.get(name);
    if (element === undefined) {
      element = make(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

/** A link only to where http leads: an address may come from outside, and `javascript:` is an address too. */
export function setLink(link, address) {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const safe = url !== undefined && (url.protocol === "https:" || url.protocol === "http:");
  setAttribute(link, "href", safe ? url.href : undefined);
  link.hidden = !safe;
}

export function externalLink(text) {
  return create("a", { target: "_blank", rel: "noopener noreferrer" }, text);
}

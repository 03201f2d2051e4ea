import type { XmlElement, XmlValue } from "../aws/query.ts";

/*
 * Reading EC2's answers. What is missing is undefined, and a list that is empty comes as the empty text.
 */

/** The element at this path. */
function elementAt(element: XmlElement, ...path: readonly string[]): XmlElement | undefined {
  let value: XmlValue | undefined = element;
  for (const name of path) {
    if (typeof value !== "object" || Array.isArray(value)) return undefined;
    value = (value as XmlElement)[name];
  }
  return typeof value === "object" && !Array.isArray(value) ? (value as XmlElement) : undefined;
}

/** The text at this path; undefined also where it is empty. */
export function textAt(element: XmlElement, ...path: readonly string[]): string | undefined {
  const name = path.at(-1) ?? "";
  const value = elementAt(element, ...path.slice(0, -1))?.[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The `item`s of the list at this path. */
export function itemsAt(element: XmlElement, ...path: readonly string[]): readonly XmlElement[] {
  const items = elementAt(element, ...path)?.item;
  if (!Array.isArray(items)) return [];
  return items.filter((item): item is XmlElement => typeof item === "object" && !Array.isArray(item));
}

/** The same for a list of texts. */
export function textsAt(element: XmlElement, ...path: readonly string[]): readonly string[] {
  const items = elementAt(element, ...path)?.item;
  return Array.isArray(items) ? items.filter((item): item is string => typeof item === "string") : [];
}

/** The tags of a resource, by key. */
export function tagsOf(element: XmlElement): ReadonlyMap<string, string> {
  return new Map(
    itemsAt(element, "tagSet").map((tag) => [textAt(tag, "key") ?? "", textAt(tag, "value") ?? ""]),
  );
}

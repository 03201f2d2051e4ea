/**
 * Runs inside a page and gives the visible texts whose contrast is below AA: 4.5, or 3 where they are large. It is
 * one expression, and JavaScript, because the types of the program know no browser.
 */
(() => {
  const parse = (text) => {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (text.match(/[\d.]+/g) ?? []).map(Number);
    return { red, green, blue, alpha };
  };
  const over = (front, back) => {
    const mix = (name) => front[name] * front.alpha + back[name] * (1 - front.alpha);
    return { red: mix("red"), green: mix("green"), blue: mix("blue"), alpha: 1 };
  };
  const background = (element) => {
    if (element === null) return { red: 255, green: 255, blue: 255, alpha: 1 };
    const color = parse(getComputedStyle(element).backgroundColor);
    return color.alpha === 1 ? color : over(color, background(element.parentElement));
  };
  const linear = (value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = (color) =>
    0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);

  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = texts
      .map((node) => node.textContent)
      .join("")
      .trim();
    if (text === "" || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const back = background(element);
    const light = [luminance(over(parse(style.color), back)), luminance(back)];
    const ratio = (Math.max(...light) + 0.05) / (Math.min(...light) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${element.tagName} ${text}`);
  }
  return faint;
})();

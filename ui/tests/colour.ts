/** Colours as eyes have them: contrast (WCAG 2), distance (OKLab), and what colour-blind readers see (Machado 2009). */

export type Rgb = readonly [number, number, number];

export function rgb(hex: string): Rgb {
  const digits = /^#([0-9a-f]{6})$/i.exec(hex)?.[1];
  if (digits === undefined) throw new Error(`${hex} is no colour of the form #rrggbb`);
  return [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16) / 255) as unknown as Rgb;
}

const linear = (value: number): number => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const times = (rows: readonly Rgb[], [r, g, b]: Rgb): Rgb =>
  rows.map(([x, y, z]) => x * r + y * g + z * b) as unknown as Rgb;

export function contrast(one: Rgb, two: Rgb): number {
  const light = [one, two].map((colour) => {
    const [r, g, b] = colour.map(linear) as unknown as Rgb;
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  });
  return Math.max(...light) / Math.min(...light);
}

const EYES: Readonly<Record<string, readonly Rgb[]>> = {
  normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritan: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

export const eyes = Object.keys(EYES);

function lab(colour: Rgb, eye: string): Rgb {
  const seen = times(EYES[eye] ?? [], colour.map(linear) as unknown as Rgb).map((v) => Math.min(1, Math.max(0, v)));
  const cone = times(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
    seen as unknown as Rgb,
  ).map(Math.cbrt) as unknown as Rgb;
  return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], cone);
}

export function distance(one: Rgb, two: Rgb, eye: string): number {
  const other = lab(two, eye);
  return Math.hypot(...lab(one, eye).map((value, at) => value - (other[at] ?? 0)));
}

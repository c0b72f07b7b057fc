// The address of a row's picture, which names what is drawn on it, so that browsers may keep it.

import { address } from "./dom.js";

const digest = (text) => [...text].reduce((sum, each) => (sum * 33 + each.codePointAt(0)) >>> 0, 5381).toString(36);

export const pictureOf = (id, row, isLarge) => {
  const masks = (row.objects ?? []).filter((each) => each.hasMask);
  const drawn = digest(JSON.stringify(masks.map(({ label, box, colour }) => [label, box, colour])));
  return address(`runs/${id}/rows/${row.number}/picture?v=${drawn}${isLarge ? "&large" : ""}`);
};

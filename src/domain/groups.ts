// Members gathered under their keys, while they are met.

/** Adds to the group in place: a copy for each member would make a group of n members cost n². */
export function addTo<Key, Member>(groups: Map<Key, Member[]>, key: Key, member: Member): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [member]);
  else group.push(member);
}

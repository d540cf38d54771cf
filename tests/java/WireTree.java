import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/** A message, read by Kafka's schema, as plain maps and lists: to be compared, adjusted and searched. */
final class WireTree {
    private static final Pattern HUMP = Pattern.compile("(?<!^)([A-Z])");

    private WireTree() {
    }

    /** Structs become maps, by the names of the fields; tagged fields stand in them like others. */
    static Object of(Type type, Object value) {
        if (value == null) {
            return null;
        }
        if (type.isArray()) {
            List<Object> list = new ArrayList<>();
            for (Object element : (Object[]) value) {
                list.add(of(type.arrayElementType().get(), element));
            }
            return list;
        }
        if (type instanceof Schema) {
            Map<String, Object> map = new LinkedHashMap<>();
            for (BoundField field : ((Schema) type).fields()) {
                if (field.def.type instanceof TaggedFields) {
                    tagged((TaggedFields) field.def.type, (Map<?, ?>) ((Struct) value).get(field), map);
                } else {
                    map.put(field.def.name, of(field.def.type, ((Struct) value).get(field)));
                }
            }
            return map;
        }
        return value instanceof MemoryRecords ? ((MemoryRecords) value).buffer() : value;
    }

    private static void tagged(TaggedFields type, Map<?, ?> values, Map<String, Object> map) {
        for (Map.Entry<?, ?> entry : values.entrySet()) {
            Field field = type.fields().get(entry.getKey());
            if (field == null) {
                map.put("tag " + entry.getKey(), ByteBuffer.wrap(((RawTaggedField) entry.getValue()).data()));
            } else {
                map.put(field.name, of(field.type, entry.getValue()));
            }
        }
    }

    /** Puts the message beside every such error: Kafka leaves many of them out. */
    @SuppressWarnings("unchecked")
    static void explain(Type type, Object tree, short code, String message) {
        if (tree instanceof List && type.arrayElementType().get() instanceof Schema) {
            ((List<Object>) tree).forEach(each -> explain(type.arrayElementType().get(), each, code, message));
        } else if (tree instanceof Map) {
            Map<String, Object> map = (Map<String, Object>) tree;
            for (BoundField field : ((Schema) type).fields()) {
                String name = field.def.name;
                if (name.equals("error_message") && Short.valueOf(code).equals(map.get("error_code"))) {
                    map.put(name, message == null && !field.def.type.isNullable() ? "" : message);
                } else if (map.get(name) != null) {
                    explain(field.def.type, map.get(name), code, message);
                }
            }
        }
    }

    /** The same whatever the order of arrays, with elements of one name made one: some classes keep them in maps. */
    @SuppressWarnings("unchecked")
    static Object unordered(Object tree) {
        if (tree instanceof Map) {
            Map<String, Object> map = new LinkedHashMap<>();
            ((Map<String, Object>) tree).forEach((name, value) -> map.put(name, unordered(value)));
            return map;
        }
        if (!(tree instanceof List)) {
            return tree;
        }
        Map<String, Object> byName = new TreeMap<>();
        for (Object element : (List<Object>) tree) {
            if (!(element instanceof Map)) {
                byName.put(String.valueOf(element), element);
                continue;
            }
            Map<String, Object> map = (Map<String, Object>) element, name = new LinkedHashMap<>(map);
            name.values().removeIf(value -> value instanceof List);
            Map<String, Object> one = (Map<String, Object>) byName.computeIfAbsent(name.toString(),
                key -> new LinkedHashMap<>(map));
            if (one != map) {
                map.forEach((key, value) -> {
                    if (value instanceof List && one.get(key) != value) {
                        List<Object> both = new ArrayList<>((List<Object>) one.get(key));
                        both.addAll((List<Object>) value);
                        one.put(key, both);
                    }
                });
            }
        }
        List<Object> list = new ArrayList<>();
        byName.values().forEach(value -> list.add(unordered(value)));
        list.removeIf(WireTree::isEmpty);
        return list;
    }

    /** A topic without partitions, of which such a map knows nothing. */
    private static boolean isEmpty(Object tree) {
        if (!(tree instanceof Map) || ((Map<?, ?>) tree).containsKey("error_code")) {
            return false;
        }
        List<Object> lists = new ArrayList<>(((Map<?, ?>) tree).values());
        lists.removeIf(value -> !(value instanceof List));
        return !lists.isEmpty() && lists.stream().allMatch(list -> ((List<?>) list).isEmpty());
    }

    /** What a walk should meet of a tapped row: its index, and the value or, of an array, the count. */
    static void taps(Object tree, String[][] paths, int depth, List<Integer> within, List<Object[]> hits) {
        if (!(tree instanceof Map)) {
            return;
        }
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) tree).entrySet()) {
            List<Integer> here = new ArrayList<>();
            int tapped = -1;
            for (int index : within) {
                if (paths[index].length > depth && paths[index][depth].equals(entry.getKey())) {
                    here.add(index);
                    tapped = paths[index].length == depth + 1 ? index : tapped;
                }
            }
            Object value = entry.getValue();
            if (tapped >= 0) {
                hits.add(new Object[] {tapped, value});
            }
            if (here.isEmpty()) {
                continue;
            }
            if (value instanceof List) {
                ((List<?>) value).forEach(element -> taps(element, paths, depth + 1, here, hits));
            } else {
                taps(value, paths, depth + 1, here, hits);
            }
        }
    }

    /** "TopicData.Name" as the names of Kafka's schemas. */
    static String[] path(String text) {
        String[] names = text.split("\\.");
        for (int i = 0; i < names.length; i++) {
            names[i] = HUMP.matcher(names[i]).replaceAll("_$1").toLowerCase();
        }
        return names;
    }

    /** The content of a captured value; null of a number. */
    static byte[] content(Object value) {
        if (value instanceof String) {
            return ((String) value).getBytes(java.nio.charset.StandardCharsets.UTF_8);
        }
        if (value instanceof Uuid) {
            Uuid id = (Uuid) value;
            return ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits())
                .array();
        }
        if (value instanceof ByteBuffer) {
            byte[] bytes = new byte[((ByteBuffer) value).remaining()];
            ((ByteBuffer) value).duplicate().get(bytes);
            return bytes;
        }
        return null;
    }
}

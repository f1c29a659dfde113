package io.github.backnorm.internal.safetensors;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * The JSON header of a {@link SafetensorsFile}: for each tensor its name, element type, shape and place in the data,
 * and metadata, which are strings by name.
 *
 * <pre>{@code
 * {"__metadata__":{"key":"value"},"name":{"dtype":"F64","shape":[2,3],"data_offsets":[0,48]}}
 * }</pre>
 *
 * <p>Reading checks all that can be checked without the data. In particular, the tensors fill the data without gap or
 * overlap, whatever their order in the header. Writing adds blanks at the end, so that the data begin at a multiple of
 * 8 bytes.
 */
final class SafetensorsHeader {
    private static final int ALIGNMENT = 8;
    /** The key of the metadata, which no tensor can have. */
    static final String METADATA = "__metadata__";

    private static final int MAX_RANK = 64; // of NumPy, and of PyTorch where it sums over dimensions
    private static final int MAX_ENTRIES = Integer.MAX_VALUE - 1023; // as for a matrix

    /**
     * Where a tensor lies: in the bytes {@code begin} to {@code end}, exclusive, of the data. One that is left out has
     * no type and no shape.
     */
    record Place(String name, ElementType type, List<Integer> shape, int size, long begin, long end) {
        boolean isLeftOut() {
            return type == null;
        }
    }

    private final List<Place> places = new ArrayList<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private long dataLength;

    private SafetensorsHeader() {}

    /** The tensors in the order of their data. */
    List<Place> places() {
        return places;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    /** Where the last tensor ends. */
    long dataLength() {
        return dataLength;
    }

    static String tensor(String name) {
        return "tensor " + FormatFault.quoted(name);
    }

    /** Tensors whose names are not among {@code names} are left out. */
    static SafetensorsHeader parse(byte[] bytes, Predicate<String> names) throws FormatFault {
        SafetensorsHeader header = new SafetensorsHeader();
        JsonScanner json = new JsonScanner(bytes);
        Map<String, Place> byName = new LinkedHashMap<>();
        boolean metadataRead = false;
        json.require('{');
        if (!json.accept('}')) {
            do {
                String name = key(json);
                if (name.equals(METADATA)) {
                    requireOnce(!metadataRead, name);
                    metadataRead = true;
                    header.readMetadata(json);
                } else {
                    requireOnce(!byName.containsKey(name), name);
                    byName.put(name, readPlace(json, name, names.test(name)));
                }
            } while (json.another('}'));
        }
        json.requireEnd();
        header.places.addAll(byName.values());
        header.places.sort(Comparator.comparingLong(Place::begin).thenComparingLong(Place::end));
        header.requireFilled();
        return header;
    }

    private static String key(JsonScanner json) throws FormatFault {
        String key = json.string();
        json.require(':');
        return key;
    }

    private static void requireOnce(boolean first, String key) throws FormatFault {
        if (!first) {
            throw new FormatFault("the key " + FormatFault.quoted(key) + " occurs twice");
        }
    }

    private void readMetadata(JsonScanner json) throws FormatFault {
        try {
            json.require('{');
            if (!json.accept('}')) {
                do {
                    String key = key(json);
                    requireOnce(!metadata.containsKey(key), key);
                    metadata.put(key, json.string());
                } while (json.another('}'));
            }
        } catch (FormatFault fault) {
            throw fault.in(METADATA);
        }
    }

    private static Place readPlace(JsonScanner json, String name, boolean wanted) throws FormatFault {
        try {
            String type = null;
            List<Long> shape = null;
            List<Long> offsets = null;
            json.require('{');
            do {
                String key = key(json);
                switch (key) {
                    case "dtype" -> {
                        requireOnce(type == null, key);
                        type = json.string();
                    }
                    case "shape" -> {
                        requireOnce(shape == null, key);
                        shape = numbers(json);
                    }
                    case "data_offsets" -> {
                        requireOnce(offsets == null, key);
                        offsets = numbers(json);
                    }
                    default -> throw new FormatFault("a key", FormatFault.quoted(key), "dtype, shape or data_offsets");
                }
            } while (json.another('}'));
            if (type == null || shape == null || offsets == null) {
                throw new FormatFault("dtype, shape or data_offsets is missing");
            }
            if (offsets.size() != 2) {
                throw new FormatFault("the number of data_offsets", offsets.size(), "2");
            }
            if (offsets.get(0) > offsets.get(1)) {
                throw new FormatFault("data_offsets", offsets, "a begin that is not above the end");
            }
            return wanted
                    ? place(name, type(type), shape, offsets.get(0), offsets.get(1))
                    : new Place(name, null, null, 0, offsets.get(0), offsets.get(1));
        } catch (FormatFault fault) {
            throw fault.in(tensor(name));
        }
    }

    private static ElementType type(String name) throws FormatFault {
        return Arrays.stream(ElementType.values())
                .filter(type -> type.name().equals(name))
                .findAny()
                .orElseThrow(() -> new FormatFault(
                        "dtype",
                        FormatFault.quoted(name),
                        Arrays.stream(ElementType.values())
                                        .map(ElementType::name)
                                        .collect(Collectors.joining(", ")) + "; " + FormatFault.LEAVE_OUT));
    }

    private static List<Long> numbers(JsonScanner json) throws FormatFault {
        List<Long> numbers = new ArrayList<>();
        json.require('[');
        if (!json.accept(']')) {
            do {
                numbers.add(json.number());
            } while (json.another(']'));
        }
        return numbers;
    }

    private static Place place(String name, ElementType type, List<Long> shape, long begin, long end)
            throws FormatFault {
        if (shape.size() > MAX_RANK) {
            throw unsupported("the number of dimensions", shape.size(), "at most " + MAX_RANK);
        }
        List<Integer> dimensions = new ArrayList<>(shape.size());
        for (long dimension : shape) {
            if (dimension > Integer.MAX_VALUE) {
                throw unsupported("shape", shape, "dimensions of at most " + Integer.MAX_VALUE);
            }
            dimensions.add((int) dimension);
        }
        if (StoredTensor.rows(dimensions) > Integer.MAX_VALUE) {
            throw unsupported(
                    "shape", shape, "a product of all but the last dimension of at most " + Integer.MAX_VALUE);
        }
        long size = StoredTensor.product(dimensions);
        if (size > MAX_ENTRIES) {
            throw unsupported("shape", shape, "at most " + MAX_ENTRIES + " entries");
        }
        long bytes = size * type.bytes();
        if (end - begin != bytes) {
            throw new FormatFault(
                    "data_offsets",
                    List.of(begin, end),
                    "a distance of " + bytes + " bytes (" + type + " of shape " + shape + ")");
        }
        return new Place(name, type, dimensions, (int) size, begin, end);
    }

    private static FormatFault unsupported(String what, Object actual, String expected) {
        return new FormatFault(what, actual, expected + "; " + FormatFault.LEAVE_OUT);
    }

    private void requireFilled() throws FormatFault {
        for (Place place : places) {
            if (place.begin != dataLength) {
                throw new FormatFault(
                                "data_offsets",
                                List.of(place.begin, place.end),
                                "a begin at " + dataLength + ", "
                                        + (place.begin > dataLength
                                                ? "for the data have no gaps"
                                                : "where the tensor before it ends"))
                        .in(tensor(place.name));
            }
            dataLength = place.end;
        }
    }

    static byte[] format(Map<String, StoredTensor> tensors, Map<String, String> metadata) {
        StringBuilder json = new StringBuilder("{");
        if (!metadata.isEmpty()) {
            appendString(json, METADATA).append(":{");
            metadata.forEach((key, value) -> {
                appendString(json, key).append(':');
                appendString(json, value).append(',');
            });
            json.setCharAt(json.length() - 1, '}');
            json.append(',');
        }
        long begin = 0;
        for (Map.Entry<String, StoredTensor> entry : tensors.entrySet()) {
            StoredTensor tensor = entry.getValue();
            long end = begin + (long) tensor.values().length * tensor.type().bytes();
            String shape = tensor.shape().stream().map(String::valueOf).collect(Collectors.joining(","));
            appendString(json, entry.getKey())
                    .append(":{\"dtype\":\"" + tensor.type() + "\",\"shape\":[" + shape)
                    .append("],\"data_offsets\":[" + begin + "," + end + "]},");
            begin = end;
        }
        if (json.length() > 1) {
            json.setLength(json.length() - 1);
        }
        byte[] bytes = json.append('}').toString().getBytes(StandardCharsets.UTF_8);
        int padded = (bytes.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        byte[] header = Arrays.copyOf(bytes, padded);
        Arrays.fill(header, bytes.length, padded, (byte) ' ');
        return header;
    }

    private static StringBuilder appendString(StringBuilder json, String text) {
        json.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            int known = "\"\\\b\f\n\r\t".indexOf(c);
            if (known >= 0) {
                json.append('\\').append("\"\\bfnrt".charAt(known));
            } else if (c < ' ') {
                json.append("\\u").append(Integer.toHexString(0x10000 | c), 1, 5);
            } else {
                json.append(c);
            }
        }
        return json.append('"');
    }
}

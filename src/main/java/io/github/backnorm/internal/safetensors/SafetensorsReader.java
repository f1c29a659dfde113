package io.github.backnorm.internal.safetensors;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Reads a {@link SafetensorsFile} from a stream, and trusts nothing in it.
 *
 * <p>Where the size is known, every length is checked against it before memory is allocated. Where it is not, the
 * arrays of the header and of the tensors begin with at most {@value #FIRST_LENGTH} elements, and one that is full is
 * doubled until it has the length that the file says: all of them together have fewer than four times the elements that
 * have come, or {@value #FIRST_LENGTH}. The stream is asked for at most {@value SafetensorsFile#BUFFER_BYTES} bytes at
 * a time, as the JDK may hold as many outside the heap.
 */
final class SafetensorsReader {
    private static final int FIRST_LENGTH = SafetensorsFile.BUFFER_BYTES / Double.BYTES;
    private static final int LEAST_BYTES = Long.BYTES + "{}".length();

    private static final String EXPECTED = ", expected a safetensors file; ";
    private static final String IN_PYTORCH =
            EXPECTED + "in Python call safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")";
    private static final String IN_NUMPY =
            EXPECTED + "in Python call safetensors.numpy.save_file({\"name\": array}, \"model.safetensors\")";

    /** What else a file may be, by a regular expression for its first bytes. */
    private static final Map<String, String> OTHER_FORMATS = Map.of(
            "PK\3\4", "a zip archive, as torch.save and numpy.savez write" + IN_PYTORCH,
            "\u0080[\2-\5]", "a pickle, as old versions of torch.save write" + IN_PYTORCH,
            "\u0093NUMPY", "an array, as numpy.save writes" + IN_NUMPY,
            "\u0089HDF", "an HDF5 file" + IN_NUMPY,
            "\u001f\u008b", "compressed by gzip" + EXPECTED + "read it through a java.util.zip.GZIPInputStream");

    private final InputStream in;
    private final long size;
    private final ByteBuffer buffer =
            ByteBuffer.allocate(SafetensorsFile.BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    private long end; // the size that the content must have, by what has been read of it

    SafetensorsReader(InputStream in, long size) {
        this.in = in;
        this.size = size;
    }

    SafetensorsFile read(Predicate<String> names) throws IOException {
        byte[] json = json();
        SafetensorsHeader header = SafetensorsHeader.parse(json, names);
        requireAtLeast(Long.BYTES + json.length + header.dataLength());
        if (size > end && size != SafetensorsFile.UNKNOWN_SIZE) {
            throw tooLong(size);
        }
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        for (SafetensorsHeader.Place place : header.places()) {
            if (place.isLeftOut()) {
                skip(place.end() - place.begin());
            } else {
                tensors.put(place.name(), new StoredTensor(place.type(), place.shape(), values(place)));
            }
        }
        if (in.read() >= 0) {
            throw tooLong("more than " + end);
        }
        return new SafetensorsFile(tensors, header.metadata());
    }

    private byte[] json() throws IOException {
        requireAtLeast(LEAST_BYTES);
        fill(Long.BYTES + 1);
        long length = buffer.getLong();
        boolean tooLong = length < 0 || length > SafetensorsFile.MAX_HEADER_BYTES; // it is unsigned
        if (tooLong || length == 0 || buffer.get() != '{') {
            requireNoOtherFormat(new String(buffer.array(), 0, Long.BYTES, StandardCharsets.ISO_8859_1));
            throw tooLong
                    ? new FormatFault(
                            "the length of the header",
                            Long.toUnsignedString(length),
                            "at most " + SafetensorsFile.MAX_HEADER_BYTES + "; is it a safetensors file?")
                    : new FormatFault("the header does not begin with {");
        }
        requireAtLeast(Long.BYTES + length);
        byte[] json = new byte[arrayLength(0, (int) length)];
        json[0] = '{';
        for (int i = 1, count; i < length; i += count) {
            if (i == json.length) {
                json = Arrays.copyOf(json, arrayLength(i, (int) length));
            }
            count = Math.min(json.length - i, SafetensorsFile.BUFFER_BYTES);
            read(json, i, count);
        }
        return json;
    }

    /** Called only if it is no safetensors file: the length of a header may have the bytes of a pickle or of gzip. */
    private static void requireNoOtherFormat(String start) throws FormatFault {
        for (Map.Entry<String, String> other : OTHER_FORMATS.entrySet()) {
            if (start.matches("(?s)" + other.getKey() + ".*")) {
                throw new FormatFault("the content is " + other.getValue());
            }
        }
    }

    private double[] values(SafetensorsHeader.Place place) throws IOException {
        ElementType type = place.type();
        double[] values = new double[arrayLength(0, place.size())];
        int perBuffer = SafetensorsFile.BUFFER_BYTES / type.bytes();
        try {
            for (int i = 0; i < place.size(); ) {
                if (i == values.length) {
                    values = Arrays.copyOf(values, arrayLength(i, place.size()));
                }
                int count = Math.min(values.length - i, perBuffer);
                fill(count * type.bytes());
                for (int stop = i + count; i < stop; i++) {
                    values[i] = type.get(buffer);
                }
            }
        } catch (FormatFault fault) {
            throw fault.in(SafetensorsHeader.tensor(place.name()));
        }
        return values;
    }

    /** The length for an array that has so many elements and will have {@code all}. */
    private int arrayLength(int filled, int all) {
        return size != SafetensorsFile.UNKNOWN_SIZE ? all : (int) Math.min(all, Math.max(FIRST_LENGTH, 2L * filled));
    }

    /** Skips bytes. The last one is read, as a stream from a file can skip what is not there. */
    private void skip(long bytes) throws IOException {
        for (long left = bytes; left > 0; ) {
            long skipped = in.skip(left - 1);
            if (skipped <= 0) {
                fill(1);
                skipped = 1;
            }
            left -= skipped;
        }
    }

    /** Fills the buffer with bytes, ready to be read. */
    private void fill(int bytes) throws IOException {
        buffer.clear().limit(bytes);
        read(buffer.array(), 0, bytes);
    }

    private void read(byte[] into, int start, int count) throws IOException {
        if (in.readNBytes(into, start, count) < count) {
            throw tooShort("fewer than " + end);
        }
    }

    private void requireAtLeast(long bytes) throws FormatFault {
        end = bytes;
        if (size < bytes) {
            throw tooShort(size);
        }
    }

    private FormatFault tooShort(Object actual) {
        return new FormatFault("the content", actual + " bytes", "at least " + end);
    }

    private FormatFault tooLong(Object actual) {
        return new FormatFault("the content", actual + " bytes", end + ", where the last tensor of the header ends");
    }
}

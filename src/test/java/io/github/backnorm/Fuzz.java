package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.internal.Allocation;
import java.io.IOException;
import java.util.Random;
import java.util.function.Supplier;

/**
 * Gives a reader inputs that its grammar makes, most of them with random mistakes, and prints what came of them.
 * Arguments: the kind, the number of inputs, and, if it is not 1, the number of the first one. Kinds:
 *
 * <ul>
 *   <li>files: in the safetensors format, each read as a file and as a stream, with all names, some and none
 *   <li>modules: texts that list PyTorch's modules
 *   <li>messages: of shards
 * </ul>
 *
 * <p>It fails where a reader throws another exception than it documents, allocates more than it says, or does not agree
 * with itself. The message then ends with the number of the input, by which it can be made again.
 */
final class Fuzz {
    private Fuzz() {}

    /** Makes inputs and reads them. */
    interface Inputs {
        /** Makes an input, reads it and notes what came of it; {@code description} is for messages. */
        void next(Random random, String description, Tally tally) throws IOException;
    }

    /** What came of the inputs so far. */
    static final class Tally {
        private long readings;
        private int accepted;
        private long mostBytes;
        private String longestRefusal = "";

        /** Notes a call of a reader, which returns the message by which it refused, or an empty one. */
        String read(Supplier<String> reading, long mostBytes, String description) {
            long before = Allocation.now();
            String refusal = reading.get();
            long bytes = Allocation.now() - before;
            if (bytes > this.mostBytes) {
                before = Allocation.now(); // once more, as the first call may have loaded classes
                refusal = reading.get();
                bytes = Allocation.now() - before;
            }
            assertThat(bytes).as(description).isLessThanOrEqualTo(mostBytes);
            addReading(bytes, refusal);
            return refusal;
        }

        /** Notes what a call of a reader allocated and, unless it is empty, the message by which it refused. */
        void addReading(long bytes, String refusal) {
            readings++;
            mostBytes = Math.max(mostBytes, bytes);
            longestRefusal = refusal.length() > longestRefusal.length() ? refusal : longestRefusal;
        }

        void addAccepted() {
            accepted++;
        }

        int accepted() {
            return accepted;
        }
    }

    private static Inputs inputs(String kind) throws IOException {
        return switch (kind) {
            case "files" -> SafetensorsFuzz.inputs();
            case "modules" -> ModulesFuzz.inputs();
            case "messages" -> ShardMessageFuzz::next;
            default -> throw new IllegalArgumentException(kind + " is no kind, expected files, modules or messages");
        };
    }

    /** Reads inputs of a kind; each depends on its number alone. */
    static Tally run(String kind, int count, long first) throws IOException {
        Inputs inputs = inputs(kind);
        Tally tally = new Tally();
        for (long number = first; number < first + count; number++) {
            Random random = new Random(number * 0x9E3779B97F4A7C15L); // Random's first numbers of 1, 2, 3 … are alike
            inputs.next(random, kind + " " + number, tally);
        }
        return tally;
    }

    public static void main(String[] args) throws IOException {
        int count = Integer.parseInt(args[1]);
        Tally tally = run(args[0], count, args.length > 2 ? Long.parseLong(args[2]) : 1);
        System.out.printf("%d %s: %d accepted, %d refused%n", count, args[0], tally.accepted, count - tally.accepted);
        System.out.printf("%d readings, of which the largest allocated %d bytes%n", tally.readings, tally.mostBytes);
        System.out.printf(
                "longest refusal, of %d characters: %s%n", tally.longestRefusal.length(), tally.longestRefusal);
    }
}

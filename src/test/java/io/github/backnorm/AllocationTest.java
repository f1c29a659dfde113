package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.internal.Allocation;
import io.github.backnorm.internal.ChildJvm;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What a training step and an inference leave on the heap. A vector that C2 does not keep in a register is an object of
 * about a hundred bytes for each of some hundred groups of entries; the bounds have no room for one of them.
 */
@Tag("bits")
final class AllocationTest {
    private static final String EXECUTION = System.getProperty("backnorm.test.execution", "plain");
    private static final boolean SCALAR = EXECUTION.equals("plain");

    enum Use {
        TRAINING(mostOfTraining()),
        INFERENCE(mostOfInference());

        final long most;

        Use(long most) {
            this.most = most;
        }

        void run(Steps steps) {
            if (this == TRAINING) {
                steps.train();
            } else {
                steps.infer();
            }
        }
    }

    /** A network, and what is done with it; too small for threads. */
    static final class Steps {
        static final int BATCH = 48;
        static final int INPUTS = 40;
        static final int FEATURES = 70;
        static final int OUTPUTS = 10;

        private final Random random = new Random(1);
        private final Network network = new Network(
                new Affine(INPUTS, FEATURES, random),
                new BatchNorm(FEATURES),
                new ReLU(),
                new Affine(FEATURES, OUTPUTS, random));
        private final Matrix x = Matrix.generate(BATCH, INPUTS, (row, column) -> random.nextDouble());
        private final Matrix dy = Matrix.generate(BATCH, OUTPUTS, (row, column) -> random.nextDouble());

        void train() {
            network.forward(x);
            network.backwardParameters(dy);
        }

        void infer() {
            network.infer(x);
        }

        /** A program without methods of its own, whose loops C2 compiles while they run; prints bytes a step. */
        public static void main(String[] arguments) {
            Steps steps = new Steps();
            long start = 0;
            int warm = 20_000;
            int measured = 1000;
            for (int i = 0; i < warm + measured; i++) {
                if (i == warm) {
                    start = Allocation.now();
                }
                steps.network.forward(steps.x);
                steps.network.backwardParameters(steps.dy);
            }
            System.out.println((Allocation.now() - start) / measured);
            for (int i = 0; i < warm + measured; i++) {
                if (i == warm) {
                    start = Allocation.now();
                }
                steps.network.infer(steps.x);
            }
            System.out.println((Allocation.now() - start) / measured);
        }
    }

    /** The arrays that a step gives to its user, and those that the layers work in. */
    private static long mostOfTraining() {
        long results = bytes(Steps.BATCH, Steps.OUTPUTS) // y
                + bytes(1, Steps.FEATURES + Steps.OUTPUTS) // db, of both; dW is written over the one before
                + bytes(4, Steps.FEATURES); // dγ, dβ, running statistics
        long work = bytes(48, Steps.FEATURES); // batch norm's statistics and sums: some 50 numbers a column
        return results
                + work
                + ofCopies(34) // for two blocks of rows 11 each, 5 to normalize, 7 to differentiate
                + ofObjects(4)
                + ofProduct(Steps.INPUTS, Steps.FEATURES)
                + ofProduct(Steps.FEATURES, Steps.OUTPUTS)
                + ofProduct(Steps.BATCH, Steps.FEATURES)
                + ofProduct(Steps.BATCH, Steps.OUTPUTS)
                + ofProduct(Steps.OUTPUTS, Steps.FEATURES);
    }

    /** Every layer's y; batch norm and ReLU run as one. */
    private static long mostOfInference() {
        return bytes(2 * Steps.BATCH, Steps.FEATURES)
                + bytes(Steps.BATCH, Steps.OUTPUTS)
                + ofCopies(15) // 5 for each of three blocks of rows
                + ofObjects(3)
                + ofProduct(Steps.INPUTS, Steps.FEATURES)
                + ofProduct(Steps.FEATURES, Steps.OUTPUTS);
    }

    private static long bytes(int rows, int columns) {
        return (long) Double.BYTES * rows * columns;
    }

    /** Matrices, records, headers of arrays, a product's edge tile. */
    private static long ofObjects(int layers) {
        return 4096L * layers;
    }

    /** The scalar kernels of batch norm copy words of the columns into arrays of whole cache lines. */
    private static long ofCopies(int rows) {
        return SCALAR ? bytes(rows, (Steps.FEATURES + 1) / 8 * 8 + 8) : 0;
    }

    /** What a scalar product of inner size k and n columns works in: four rows, and up to 64 of B, of whole cache lines. */
    private static long ofProduct(int k, int n) {
        return SCALAR ? bytes(4 + Math.min(64, k), (n + 1) / 8 * 8 + 8) : 0;
    }

    @ParameterizedTest
    @EnumSource
    void step_compiled_allocatesItsArraysOnly(Use use) {
        Steps steps = new Steps();
        assertThat(Allocation.ofCompiled(() -> use.run(steps), use.most))
                .as("bytes of %s", use)
                .isLessThanOrEqualTo(use.most);
    }

    @Test
    void step_inLoopOfMain_allocatesItsArraysOnly() {
        List<Long> bytes = ChildJvm.run(Steps.class, ChildJvm.optionsOfThisJvm()).lines().stream()
                .map(Long::valueOf)
                .toList();
        assertThat(bytes).hasSize(2);
        assertThat(bytes.get(0)).as("bytes of a training step").isLessThanOrEqualTo(Use.TRAINING.most);
        assertThat(bytes.get(1)).as("bytes of an inference").isLessThanOrEqualTo(Use.INFERENCE.most);
    }
}

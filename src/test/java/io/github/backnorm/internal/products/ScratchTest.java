package io.github.backnorm.internal.products;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class ScratchTest {
    @Test
    void take_nothingFits_returnsNewArrayOfLength() {
        Scratch.DOUBLES.giveBack(new double[5]);
        assertThat(Scratch.DOUBLES.take(20_000_000)).hasSize(20_000_000); // longer than any packed operands
    }

    @Test
    void take_severalGivenBack_returnsTheLastOneFirst() {
        double[] first = Scratch.DOUBLES.take(10);
        double[] second = Scratch.DOUBLES.take(10);
        assertThat(second).isNotSameAs(first);
        Scratch.DOUBLES.giveBack(first);
        Scratch.DOUBLES.giveBack(second);
        assertThat(Scratch.DOUBLES.take(10)).isSameAs(second);
        assertThat(Scratch.DOUBLES.take(10)).isSameAs(first);
    }

    @Test
    void take_manyThreads_noTwoHoldOneArray() {
        AtomicInteger shared = new AtomicInteger();
        IntStream.range(0, 20_000).parallel().forEach(task -> {
            double[] array = Scratch.DOUBLES.take(8);
            array[0] = task;
            array[7] = task;
            Thread.onSpinWait();
            if (array[0] != task || array[7] != task) {
                shared.incrementAndGet();
            }
            Scratch.DOUBLES.giveBack(array);
        });
        assertThat(shared).hasValue(0);
    }
}

package io.github.backnorm.spark;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import java.io.IOException;
import java.util.Map;
import java.util.Random;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;

/** Scoring in executors that are JVMs of their own, with the jars that users get. */
final class ScorerClusterTest {
    @Test
    void score_executors_bitsOfInfer() throws IOException {
        Network network = ScorerTest.network(1).folded();
        Matrix x = ScorerTest.gaussian(2500, new Random(2));
        try (SparkSession session = TestSessions.cluster(2, Map.of())) {
            for (int partitions : new int[] {1, 64}) {
                Dataset<Row> table = ScorerTest.table(session, x).repartition(partitions);
                assertThat(ScorerTest.scores(new Scorer(network).score(table, "scores", "x")))
                        .as("%d partitions", partitions)
                        .isEqualTo(network.infer(x));
            }
        }
    }
}

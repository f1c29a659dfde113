package io.github.backnorm.races;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import io.github.backnorm.BatchNorm;
import io.github.backnorm.Matrix;
import io.github.backnorm.Parameter;
import io.github.backnorm.internal.threads.Parallel;
import java.nio.file.Path;
import java.util.Map;
import org.openjdk.jcstress.Main;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.DD_Result;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * Lets threads race over what is promised to be read whole, again and again, interpreted and compiled. The arguments
 * are those of jcstress; reports are written to {@code target/jcstress}.
 *
 * @see <a href="https://github.com/openjdk/jcstress">OpenJDK, Java Concurrency Stress</a>
 */
public final class Races {
    private static final Matrix H = Matrix.ofRow(3);
    private static final Matrix ONE = Matrix.ofRow(1);
    private static final Matrix TWO = Matrix.ofRow(2);
    private static final Matrix FOUR = Matrix.ofRow(4);

    private Races() {}

    /** Runs all races, or those that the arguments name, and exits with 1 if one came out as it must not. */
    public static void main(String[] args) throws Exception {
        Path reports = Path.of("target", "jcstress");
        String[] all = new String[args.length + 2];
        System.arraycopy(args, 0, all, 0, args.length);
        all[args.length] = "-r";
        all[args.length + 1] = reports.toString();
        Main.main(all);
    }

    /** A parameter's value is the old matrix or the new one. */
    @JCStressTest
    @Outcome(id = "1.0, 1.0", expect = ACCEPTABLE, desc = "the old value")
    @Outcome(id = "2.0, 2.0", expect = ACCEPTABLE, desc = "the new value")
    @Outcome(expect = FORBIDDEN, desc = "a torn value")
    @State
    public static class Value {
        private final Parameter parameter = new Parameter("w", Matrix.ofRow(1, 1));

        /** Trains. */
        @Actor
        public void train() {
            parameter.setValue(Matrix.filled(1, 2, 2));
        }

        /** Reads. */
        @Actor
        public void read(DD_Result r) {
            Matrix value = parameter.value();
            r.r1 = value.get(0, 0);
            r.r2 = value.get(0, 1);
        }
    }

    /** The running mean and variance in a state are of the same moment. */
    @JCStressTest
    @Outcome(id = "0.0, 1.0", expect = ACCEPTABLE, desc = "the old pair")
    @Outcome(id = "1.0, 4.0", expect = ACCEPTABLE, desc = "the new pair")
    @Outcome(expect = FORBIDDEN, desc = "of two pairs")
    @State
    public static class RunningStatistics {
        private final BatchNorm layer = new BatchNorm(1);

        /** Trains. */
        @Actor
        public void train() {
            layer.setRunningStatistics(ONE, FOUR);
        }

        /** Saves. */
        @Actor
        public void read(DD_Result r) {
            Map<String, Matrix> state = layer.state();
            r.r1 = state.get("runningMean").get(0, 0);
            r.r2 = state.get("runningVariance").get(0, 0);
        }
    }

    /**
     * A thread infers while the running statistics change: it uses one pair, 3 = (3 − 0)/√1 or 1 = (3 − 1)/√4, and
     * afterwards infer uses the new one, whatever was computed last and kept.
     */
    @JCStressTest
    @Outcome(id = "(3|1)[.]0, 1[.]0", expect = ACCEPTABLE, desc = "the old pair or the new, then the new")
    @Outcome(expect = FORBIDDEN, desc = "of two pairs, or stale")
    @State
    public static class CachedNormalization {
        private final BatchNorm layer = new BatchNorm(1, 0, 0.1);

        /** Trains. */
        @Actor
        public void train() {
            layer.setRunningStatistics(ONE, FOUR);
        }

        /** Serves. */
        @Actor
        public void infer(DD_Result r) {
            r.r1 = layer.infer(H).get(0, 0);
        }

        /** Serves when all is done. */
        @Arbiter
        public void afterwards(DD_Result r) {
            r.r2 = layer.infer(H).get(0, 0);
        }
    }

    /** The same for γ, which has a value of its own: 3 = 1·3 or 6 = 2·3. */
    @JCStressTest
    @Outcome(id = "(3|6)[.]0, 6[.]0", expect = ACCEPTABLE, desc = "the old γ or the new, then the new")
    @Outcome(expect = FORBIDDEN, desc = "stale")
    @State
    public static class CachedGamma {
        private final BatchNorm layer = new BatchNorm(1, 0, 0.1);

        /** Trains. */
        @Actor
        public void train() {
            layer.gamma().setValue(TWO);
        }

        /** Serves. */
        @Actor
        public void infer(DD_Result r) {
            r.r1 = layer.infer(H).get(0, 0);
        }

        /** Serves when all is done. */
        @Arbiter
        public void afterwards(DD_Result r) {
            r.r2 = layer.infer(H).get(0, 0);
        }
    }

    /** Of two jobs at once, which share their helpers, each task has run once when its job returns, and is seen. */
    @JCStressTest
    @Outcome(id = "111, 111", expect = ACCEPTABLE, desc = "each task once")
    @Outcome(expect = FORBIDDEN, desc = "a task not done, or done twice")
    @State
    public static class Jobs {
        private static final Parallel PARALLEL = new Parallel(3, 1);

        /** Multiplies. */
        @Actor
        public void one(II_Result r) {
            r.r1 = run();
        }

        /** Multiplies, too. */
        @Actor
        public void other(II_Result r) {
            r.r2 = run();
        }

        private static int run() {
            int[] runs = new int[3]; // not volatile: the end of the job must publish it
            PARALLEL.run(2, runs.length, i -> runs[i]++);
            return 100 * runs[0] + 10 * runs[1] + runs[2];
        }
    }
}

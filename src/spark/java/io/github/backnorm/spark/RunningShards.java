package io.github.backnorm.spark;

import io.github.backnorm.Shard;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The shards that an executor keeps from one exchange to the next. Where one is missing, since its executor was lost or
 * its task runs elsewhere, it is made anew and repeats what the others have done.
 */
final class RunningShards {
    /** Trainings whose shards an executor keeps: more run in turns, slowly. */
    private static final int MOST = 2;

    private static final Map<String, RunningShards> BY_EPOCH = new LinkedHashMap<>(MOST, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, RunningShards> eldest) {
            return size() > MOST;
        }
    };

    private final int step;
    private final Map<Integer, Running> byBlock = new HashMap<>();

    private RunningShards(int step) {
        this.step = step;
    }

    /** A shard, and how many sums over the batch it has been given; −1 before the first call. */
    private static final class Running {
        private final Shard shard;
        private int given = -1;

        Running(Shard shard) {
            this.shard = shard;
        }

        byte[] next(List<byte[]> sums) {
            if (given == sums.size()) {
                given--; // a task that is repeated: the shard returns the same message again
            }
            byte[] message = null;
            while (given < sums.size()) {
                given++;
                message = shard.next(given == 0 ? null : sums.get(given - 1));
            }
            return message;
        }
    }

    /** The message of a block in the exchange after those that gave {@code sums}. */
    static byte[] next(Step step, Block block, List<byte[]> sums) {
        Running running = running(step, block);
        synchronized (running) {
            boolean isAhead = running.given > sums.size(); // of a task that nobody waits for any more
            Running used = isAhead ? new Running(step.shard(block)) : running;
            try {
                return used.next(sums);
            } catch (RuntimeException | Error failure) {
                forget(step, block);
                throw failure;
            }
        }
    }

    private static Running running(Step step, Block block) {
        synchronized (BY_EPOCH) {
            RunningShards shards = BY_EPOCH.get(step.epoch());
            if (shards == null || shards.step != step.number()) {
                shards = new RunningShards(step.number());
                BY_EPOCH.put(step.epoch(), shards);
            }
            return shards.byBlock.computeIfAbsent(block.number(), number -> new Running(step.shard(block)));
        }
    }

    private static void forget(Step step, Block block) {
        synchronized (BY_EPOCH) {
            RunningShards shards = BY_EPOCH.get(step.epoch());
            if (shards != null) {
                shards.byBlock.remove(block.number());
            }
        }
    }
}

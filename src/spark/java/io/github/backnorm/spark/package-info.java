/**
 * Backnorm on Apache Spark 4: {@link io.github.backnorm.spark.Scorer} adds a network's scores to the rows of a table,
 * {@link io.github.backnorm.spark.Blocks} and {@link io.github.backnorm.spark.Epoch} train a network on them.
 *
 * <p>The classes are in a jar of their own, with the classifier {@code spark}, beside the library's; Spark is what the
 * user's program or cluster has. {@code spark-submit --jars} takes both jars.
 */
package io.github.backnorm.spark;

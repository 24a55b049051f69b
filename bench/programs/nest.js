// NestJS on Fastify with one controller; its decorators are called by hand, so that no build is needed.
import 'reflect-metadata'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'

class Health {
  live() {
    return { status: 'ok' }
  }
}
Get('/livez')(Health.prototype, 'live', Object.getOwnPropertyDescriptor(Health.prototype, 'live'))
Controller()(Health)
class Root {}
Module({ controllers: [Health] })(Root)

const app = await NestFactory.create(Root, new FastifyAdapter(), { logger: false })
await app.listen(Number(process.env.PORT ?? 0), '127.0.0.1')
console.log(JSON.stringify({ url: `http://127.0.0.1:${app.getHttpServer().address().port}` }))
